rule.ls
{}
