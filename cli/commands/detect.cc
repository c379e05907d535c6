#include <algorithm>
#include <iostream>

#include "cli/commands/command.h"
#include "cli/content_dir.h"
#include "cli/detect/detector.h"
#include "cli/detect/windows_names.h"
#include "cli/send/line_source.h"
#include "cli/send/progress.h"
#include "cli/time_range.h"
#include "fmt/format.h"

#include "common/json/message_json.h"
#include "common/text/text.h"
#include "services/ingestion/domain/described/catalogue.h"
#include "services/ingestion/domain/line_pipeline.h"

namespace yagura::cli {
namespace {

struct DetectOptions {
  std::vector<std::string> rules;
  std::vector<std::string> files;
  std::string parser;
  std::string zone;
  std::string received = "now";
  std::string content;
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

absl::Status Detect(const DetectOptions& options) {
  using ingestion::ParserCatalogue;
  using ingestion::ParserRegistry;
  auto catalogue = ParserCatalogue::Load(FindContent(options.content) / "parsers");
  if (!catalogue.ok()) return Annotate(catalogue.status(), "content/parsers");
  if (!ParserRegistry::IsKnownSetting(options.parser, catalogue->get())) {
    return InvalidField("parser", fmt::format("there is no parser \"{}\"", options.parser));
  }
  const TimePoint now = SystemClock()->Now();
  ingestion::LineContext context;
  context.receive_time = now;
  if (options.received != "now") {
    YAGURA_ASSIGN_OR_RETURN(context.receive_time, ParseWhen(options.received, now));
  }
  YAGURA_ASSIGN_OR_RETURN(context.zone, ingestion::SourceZone::Find(options.zone));
  context.parser = options.parser;
  YAGURA_ASSIGN_OR_RETURN(const LoadedRules rules, LoadRules(options.rules));
  YAGURA_ASSIGN_OR_RETURN(auto lines, LineSource::Open(options.files, 1));

  ingestion::LinePipeline pipeline(*catalogue);
  ingestion::Parser* likely = nullptr;
  context.likely = &likely;
  Detector detector(rules.set, context.receive_time);
  Progress progress(lines.total_bytes());
  for (std::string line; lines.Next(line);) {
    ingestion::ParsedLine& parsed = pipeline.Process(line, context);
    AddWindowsNames(parsed.event);
    YAGURA_RETURN_IF_ERROR(detector.Add(parsed.event));
    progress.Add(1, line.size() + 1);
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
  return lines.status();
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
  command
      .add_option(
          "files", options->files,
          "Files of lines: JSON (Windows events flat or nested) or whatever a parser knows, "
          "packed (.zst) or not; - is standard input")
      ->required();
  command.add_option("--parser", options->parser,
                     "Read every line with this parser instead of recognising its format");
  command.add_option("--time-zone", options->zone,
                     "IANA name of the zone of times without an offset; UTC without it");
  command
      .add_option("--received", options->received,
                  "When the lines were received, for times without a year or a date")
      ->capture_default_str();
  command.add_option("--content", options->content, "Folder content/ with parsers/");
  program.Do(command, [options] { return Detect(*options); });
}

}  // namespace yagura::cli
