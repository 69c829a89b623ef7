"""Dead letters as people deal with them: read, judged, sent back, edited, discarded, and kept in files."""
