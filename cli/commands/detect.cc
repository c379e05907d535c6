#include <algorithm>
#include <iostream>

#include "cli/commands/command.h"
#include "cli/detect/detector.h"
#include "cli/detect/event_texts.h"
#include "cli/detect/placeholder_file.h"
#include "cli/event_json.h"
#include "cli/offline_lines.h"
#include "cli/send/line_source.h"
#include "cli/send/progress.h"
#include "fmt/format.h"

#include "common/json/message_json.h"
#include "common/status/status.h"
#include "common/text/text.h"
#include "services/detection/domain/engine/pattern.h"

namespace yagura::cli {
namespace {

struct DetectOptions {
  std::vector<std::string> rules;
  std::vector<std::string> files;
  std::vector<std::string> placeholders;  // "name=value"
  std::string placeholder_file;
  OfflineOptions lines;
};

// "What matched how often", the most first.
std::string MatchTable(const Detector& detector) {
  std::vector<std::pair<uint64_t, std::string>> rows;
  for (const auto& [id, count] : detector.matches()) rows.emplace_back(count, id);
  std::sort(rows.begin(), rows.end(), [](const auto& a, const auto& b) {
    return a.first != b.first ? a.first > b.first : a.second < b.second;
  });
  std::string text = fmt::format("{:>10}  {:<36}  {}\n", "MATCHES", "RULE", "TITLE");
  for (const auto& [count, id] : rows) {
    const auto title = detector.titles().find(id);
    text += fmt::format("{:>10}  {:<36}  {}\n", count, id,
                        title == detector.titles().end() ? "" : EscapeForTerminal(title->second));
  }
  return text;
}

absl::StatusOr<detection::Placeholders> PlaceholdersOf(const std::vector<std::string>& texts) {
  detection::Placeholders placeholders;
  for (const auto& text : texts) {
    const size_t equals = text.find('=');
    std::string_view name = Trim(std::string_view(text).substr(0, equals));
    if (name.size() > 2 && name.front() == '%' && name.back() == '%') {
      name = name.substr(1, name.size() - 2);
    }
    if (equals == std::string::npos || name.empty() || equals + 1 == text.size()) {
      return InvalidField("placeholder", fmt::format("\"{}\" is not NAME=VALUE", text));
    }
    placeholders[detection::PlaceholderId(name)].push_back(text.substr(equals + 1));
  }
  return placeholders;
}

// What the suite itself writes of its events: such a line is no device's and has been read.
bool IsExported(std::string_view text) {
  return text.starts_with(R"({"id":")") && text.find(R"("receive_time":")") != text.npos &&
         text.find(R"("tenant":")") != text.npos && text.find(R"("raw":")") != text.npos;
}

absl::Status Detect(const DetectOptions& options) {
  YAGURA_ASSIGN_OR_RETURN(const auto parsers, LoadParsers(options.lines));
  YAGURA_ASSIGN_OR_RETURN(const auto reader, OfflineLines::Make(options.lines, parsers));
  YAGURA_ASSIGN_OR_RETURN(auto placeholders, PlaceholdersOf(options.placeholders));
  if (!options.placeholder_file.empty()) {
    YAGURA_ASSIGN_OR_RETURN(auto of_file, ReadPlaceholders(options.placeholder_file));
    placeholders.merge(of_file);  // what was given by itself counts
  }
  YAGURA_ASSIGN_OR_RETURN(const LoadedRules rules, LoadRules(options.rules, placeholders));
  if (rules.set->entries().empty()) {
    for (const auto& refused : rules.refused) {
      std::cerr << "refused " << EscapeForTerminal(refused) << "\n";
    }
    return MakeError(absl::StatusCode::kFailedPrecondition, "NO_RULES",
                     fmt::format("no rule was loaded, {} refused: nothing would be matched",
                                 rules.refused.size()));
  }
  YAGURA_ASSIGN_OR_RETURN(auto lines, LineSource::Open(options.files, 1));
  EventTexts texts(std::move(lines));

  Detector detector(rules.set, reader->receive_time());
  Progress progress(texts.total_bytes());
  size_t bytes = 0;
  for (std::string text; texts.Next(text, bytes);) {
    if (IsExported(text)) {
      event::v1::Event event;
      YAGURA_RETURN_IF_ERROR(ReadEvent(text, event));
      YAGURA_RETURN_IF_ERROR(detector.Add(event));
    } else {
      YAGURA_RETURN_IF_ERROR(detector.Add(reader->Read(text).event));
    }
    progress.Add(1, bytes);
  }
  YAGURA_ASSIGN_OR_RETURN(const auto findings, detector.Finish());
  const std::string speed = progress.Summary();
  progress.Clear();
  for (const auto& finding : findings) Write(MessageToJson(finding) + "\n");
  // Apart from what a script reads.
  for (const auto& refused : rules.refused) {
    std::cerr << "refused " << EscapeForTerminal(refused) << "\n";
  }
  std::cerr << MatchTable(detector)
            << fmt::format("{}\n{} rules loaded, {} refused; {} of them matched; {} findings\n",
                           speed, rules.set->entries().size(), rules.refused.size(),
                           detector.matches().size(), findings.size())
            << std::flush;
  return texts.status();
}

}  // namespace

void AddDetectCommand(Program& program) {
  auto options = std::make_shared<DetectOptions>();
  CLI::App& command = *program.app().add_subcommand(
      "detect",
      "What Sigma rules find in files of events, matched here as the suite matches them. Findings "
      "are JSON lines on standard output, the summary is on standard error");
  command.add_option("--rules", options->rules, "Folder of rules, or one rule; may be repeated")
      ->required()
      ->allow_extra_args(false);
  command.add_option("--placeholders", options->placeholder_file,
                     "File of what %placeholders% in rules stand for: a map of names to a value or "
                     "a list of values, in YAML or JSON; --placeholder counts instead where both "
                     "name one");
  command
      .add_option("--placeholder", options->placeholders,
                  "NAME=VALUE: what %NAME% stands for in the rules; may be repeated, also for one "
                  "name")
      ->allow_extra_args(false);
  command
      .add_option("files", options->files,
                  "Files of events, packed (.zst) or not: lines, each JSON (Windows events flat or "
                  "nested), "
                  "what `event search -o jsonl` or `archive export` wrote, or whatever a parser "
                  "knows; or JSON texts, each one object or several, or an array of "
                  "them, over as many lines as it takes. - is standard input")
      ->required();
  AddOfflineOptions(command, options->lines);
  program.Do(command, [options] { return Detect(*options); });
}

}  // namespace yagura::cli
