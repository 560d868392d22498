"""What every stage stands on: files, hashes, arrays, progress, compiled loops, processes. It knows no stage."""
