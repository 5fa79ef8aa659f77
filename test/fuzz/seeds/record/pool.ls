pool.ls
{}
