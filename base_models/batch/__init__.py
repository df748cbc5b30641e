"""Batch inference: a table of videos in, a row of scores for each out, part by part."""
