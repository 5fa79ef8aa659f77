device.ls
{"vm": "tiny"}
