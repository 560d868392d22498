"""What is read off the tables: clusters of latents, their structure, and the report.

Each module has one public function. Heavy libraries are imported where they are used.
"""
