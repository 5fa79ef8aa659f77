switch.ls
{}
