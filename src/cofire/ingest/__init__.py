"""From text to tables: `capture` and `import_activations` make capture directories, `count` makes tables of one.

These three are the entrances. Everything else lies in a room, and each room knows only those before it: capture_dir;
noise; latents; pairs; edges and capturing.
"""
