balance.ls
{}
