"""Linear systems on the nodes of a graph: one operator, solved by a factor or by conjugate gradients."""
