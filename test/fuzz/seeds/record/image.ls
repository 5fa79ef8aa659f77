image.ls
{}
