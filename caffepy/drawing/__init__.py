"""Pictures of nets: boxes and edges (graph), where they lie (ranks, layout), and how they are drawn (svg, png)."""
