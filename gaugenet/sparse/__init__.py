"""Sparse Hermitian matrices: factors and lowest eigenpairs. numpy and scipy, shared by geometry and by layers."""
