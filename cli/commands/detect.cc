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
  bool strict = false;
};

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

// Those that can be opened; of the others why they cannot. Their error where there is no other.
absl::StatusOr<std::vector<std::string>> ReadableFiles(const std::vector<std::string>& files,
                                                       std::vector<std::string>& problems) {
  std::vector<std::string> readable;
  for (const auto& file : files) {
    const absl::Status status = LineSource::Open({file}, 1).status();
    if (status.ok()) {
      readable.push_back(file);
      continue;
    }
    if (files.size() == 1) return status;
    problems.emplace_back(Message(status));
  }
  if (!readable.empty()) return readable;
  return MakeError(absl::StatusCode::kNotFound, "FILE_UNREADABLE", Join(problems, "; "));
}

// The lines that were not read to their end: what a rule looks for may be in what is missing.
class Unread {
 public:
  // `flaws`: as of EventView.
  void Count(uint64_t flaws) {
    const auto has = [flaws](event::v1::Flaw flaw) { return (flaws >> flaw & 1) != 0; };
    if (has(event::v1::UNPARSED)) ++unknown_;
    if (has(event::v1::PARTLY_PARSED) || has(event::v1::TRUNCATED)) ++partly_;
    if (has(event::v1::TRUNCATED)) ++cut_;
  }
  void Count(const event::v1::Event& event) {
    uint64_t flaws = 0;
    for (const int flaw : event.flaws()) flaws |= flaw >= 0 && flaw < 64 ? 1ULL << flaw : 0;
    Count(flaws);
  }
  // A line for people; empty where there are none.
  std::string Text() const {
    if (unknown_ + partly_ == 0) return "";
    return fmt::format("{} lines not whole (of them {} cut), {} not understood\n", partly_, cut_,
                       unknown_);
  }

 private:
  uint64_t unknown_ = 0;
  uint64_t partly_ = 0;  // with those that were cut
  uint64_t cut_ = 0;
};

// What the command comes to when all that can be read has been.
absl::Status EndOf(const std::vector<std::string>& problems, size_t refused) {
  if (!problems.empty()) {
    return MakeError(absl::StatusCode::kDataLoss, "FILE_DAMAGED",
                     fmt::format("not all of the files could be read: {}", Join(problems, "; ")));
  }
  if (refused == 0) return absl::OkStatus();
  return MakeError(absl::StatusCode::kFailedPrecondition, "RULES_REFUSED",
                   fmt::format("{} rules were refused", refused));
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
  std::vector<std::string> problems;
  YAGURA_ASSIGN_OR_RETURN(auto files, ReadableFiles(options.files, problems));
  YAGURA_ASSIGN_OR_RETURN(auto lines, LineSource::Open(std::move(files), 1));
  EventTexts texts(std::move(lines));

  Detector detector(rules.set, reader->receive_time());
  Progress progress(texts.total_bytes());
  Unread unread;
  size_t bytes = 0;
  for (std::string text; texts.Next(text, bytes);) {
    event::v1::Event event;
    if (IsExported(text) && ReadEvent(text, event).ok()) {
      unread.Count(event);
      YAGURA_RETURN_IF_ERROR(detector.Add(event));
    } else {
      const ingestion::ParsedLine& line = reader->Read(text);
      unread.Count(line.event.flaws);
      YAGURA_RETURN_IF_ERROR(detector.Add(line.event));
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
  std::cerr << detector.MatchTable() << unread.Text()
            << fmt::format("{}\n{} rules loaded, {} refused; {} of them matched; {} findings\n",
                           speed, rules.set->entries().size(), rules.refused.size(),
                           detector.matches().size(), findings.size())
            << std::flush;
  if (!texts.status().ok()) problems.emplace_back(Message(texts.status()));
  return EndOf(problems, options.strict ? rules.refused.size() : 0);
}

}  // namespace

void AddDetectCommand(Program& program) {
  auto options = std::make_shared<DetectOptions>();
  CLI::App& command = *program.app().add_subcommand(
      "detect",
      "What Sigma rules find in files of events, matched here as the suite matches them. Findings "
      "are JSON lines on standard output, the summary is on standard error. Rules that are refused "
      "are listed there, and files that cannot be read, or not to their end, are passed over and "
      "named at the end. How many lines were not understood, read in part or cut is told there, "
      "too; `yagura parse` shows which. Ends with 0; with 1 where a file could not be read whole, "
      "where no rule could be loaded, and, with --strict, where any was refused");
  command
      .add_option("--rules", options->rules,
                  "Folder or archive (.tgz, .zip, ...) of rules, or one file; may be repeated")
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
  command.add_flag("--strict", options->strict, "Fail in the end where any rule was refused");
  AddOfflineOptions(command, options->lines);
  program.Do(command, [options] { return Detect(*options); });
}

}  // namespace yagura::cli
