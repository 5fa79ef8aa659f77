disk.move
{"vm": "tiny", "disk": "tiny", "pool": "tiny"}
