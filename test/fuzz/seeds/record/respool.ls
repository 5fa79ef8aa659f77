respool.ls
{}
