#pragma once

#include "cli/commands/command.h"

namespace yagura::cli {

// `rule list` and `rule get`, which show a provider's rule as it is for a tenant; `rule versions`.
void AddRuleReads(Program& program, CLI::App& group);

}  // namespace yagura::cli
