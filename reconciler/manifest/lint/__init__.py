"""The rules that manifests must satisfy, and the warnings for valid ones."""
