vm.ls
{"trash": false, "filter": "tiny", "limit": 1, "cursor": "tiny"}
