/* An error, for a person or (`-o json`) for a program; on stderr. */
#pragma once

#include <glib.h>

#include "cli/parse.h"

/* Appends "hostler: what happened", its causes and its hint, or the problem document on one line. */
void problem_format(const GError *error, OutputFormat format, GString *out);
void problem_print(const GError *error, OutputFormat format);
