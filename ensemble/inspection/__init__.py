"""Looks closely at videos: faces, frames, and changes that a score should survive."""
