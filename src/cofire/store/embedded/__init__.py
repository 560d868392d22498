"""The embedded store: ArcadeDB in a child process, spoken to over Bolt."""
