"""What is read off the tables and the activations: clusters, their shape, function and subspace, motifs, reports.

`analyze` is the entrance. Each analysis that `cofire analyze --only NAME` knows has a room of its name, and in it a
file of that name with its one public function. Rooms know only those before them: clusters, activations and motifs;
nulls, functions, subspaces and report; structure_function; analyze. Heavy libraries are imported where they are used.
"""
