disk.ls
{"vm": "tiny"}
