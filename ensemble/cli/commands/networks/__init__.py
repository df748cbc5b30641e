"""Commands about files of networks: listed, fetched, converted, exported, verified."""
