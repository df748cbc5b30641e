"""Where and when things run: devices, processes, threads, whole files."""
