"""Imports: any number of rows in bounded memory, each with its own result, none written twice."""
