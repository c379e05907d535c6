#include "cli/usage.h"

#include <algorithm>
#include <utility>

#include "fmt/format.h"

#include "common/text/text.h"

namespace yagura::cli {
namespace {

constexpr size_t kLongestCommand = 20;

std::string UnknownOption(const CLI::App& app) {
  for (const auto& word : app.remaining(/*recurse=*/true)) {
    if (word.starts_with('-') && !word.starts_with("--")) {
      return fmt::format("there is no option {} here; a word that begins with - stands behind --",
                         EscapeForTerminal(word.substr(0, 2)));
    }
    if (!word.starts_with("--")) continue;
    const std::string name = word.substr(0, word.find('='));
    return name == "--api-key"
               ? "there is no option --api-key, as command lines can be seen by others: use "
                 "--api-key-file or YAGURA_API_KEY"
               : fmt::format("there is no option {} here", EscapeForTerminal(name));
  }
  return "there are more words than the command takes";
}

}  // namespace

std::vector<std::string> WordsOf(std::vector<std::string> arguments) {
  std::vector<std::string> words;
  for (std::string& word : arguments) {
    const bool is_empty_value =
        word.starts_with("--") && word.size() > 3 && word.find('=') == word.size() - 1;
    if (is_empty_value) word.pop_back();
    words.push_back(std::move(word));
    if (is_empty_value) words.emplace_back();
  }
  std::reverse(words.begin(), words.end());
  return words;
}

std::optional<std::string> UnknownWord(const CLI::App& app, const CLI::ParseError& error) {
  if (dynamic_cast<const CLI::ExtrasError*>(&error) != nullptr) return UnknownOption(app);
  if (dynamic_cast<const CLI::RequiredError*>(&error) == nullptr) return std::nullopt;
  // Within the group of commands that was named last.
  const CLI::App* group = &app;
  while (!group->get_subcommands().empty()) group = group->get_subcommands().front();
  const auto words = app.remaining(/*recurse=*/true);
  if (group->get_require_subcommand_min() == 0 || words.empty()) return std::nullopt;
  const std::string& word = words.front();
  const bool plain = word.size() <= kLongestCommand &&
                     word.find_first_not_of("abcdefghijklmnopqrstuvwxyz-") == std::string::npos;
  if (!plain || word.starts_with('-')) return UnknownOption(app);
  return fmt::format("there is no command \"{}\" here", word);
}

}  // namespace yagura::cli
