#pragma once

#include <optional>
#include <string>
#include <vector>

#include "CLI/App.hpp"

namespace yagura::cli {

// The arguments behind the program's name as CLI::App::parse takes them, the last first.
// "--otlp=" becomes "--otlp" with an empty text, which CLI11 would call a value that is missing.
std::vector<std::string> WordsOf(std::vector<std::string> arguments);

// What to say where the command line has a word that nothing takes; none for other errors. Such
// words may hold a secret (`--api-key SECRET`): of them only what looks like the name of an option
// or a command is repeated.
std::optional<std::string> UnknownWord(const CLI::App& app, const CLI::ParseError& error);

}  // namespace yagura::cli
