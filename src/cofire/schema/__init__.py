"""What cofire stores, as data: the columns of the tables, and the nodes and relationships of the graph.

Parquet schemas, the store's DDL, its load statements and the reference pages are all made from this package.
"""
