snapshot.ls
{"vm": "tiny"}
