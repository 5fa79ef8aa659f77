"""The declarations (src/**/*.toml): read, checked, and turned into C, references, manual pages and completion."""
