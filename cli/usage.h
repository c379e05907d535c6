#pragma once

#include <optional>
#include <string>

#include "CLI/App.hpp"

namespace yagura::cli {

// What to say where the command line has a word that nothing takes; none for other errors. Such
// words may hold a secret (`--api-key SECRET`): of them only what looks like the name of an option
// or a command is repeated.
std::optional<std::string> UnknownWord(const CLI::App& app, const CLI::ParseError& error);

}  // namespace yagura::cli
