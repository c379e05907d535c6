#include "cli/offline_lines.h"

#include "cli/content_dir.h"
#include "cli/time_range.h"
#include "fmt/format.h"

#include "common/status/status.h"
#include "services/ingestion/domain/parsers/names.h"

namespace yagura::cli {

void AddOfflineOptions(CLI::App& command, OfflineOptions& options) {
  command.add_option("--parser", options.parser,
                     "Read every line with this parser instead of recognising its format");
  command.add_option("--time-zone", options.zone,
                     "IANA name of the zone of times without an offset; UTC without it");
  command.add_option(
      "--charset", options.charset,
      "Character set of the lines, as of a source: utf-8, shift_jis (code page 932), "
      "euc-jp, iso-8859-1");
  command
      .add_option("--received", options.received,
                  "When the lines were received, for times without a year or a date")
      ->capture_default_str();
  command.add_option("--content", options.content, "Folder content/ with parsers/");
}

absl::StatusOr<std::shared_ptr<const ingestion::ParserCatalogue>> LoadParsers(
    const OfflineOptions& options) {
  auto parsers = ingestion::ParserCatalogue::Load(FindContent(options.content) / "parsers");
  if (!parsers.ok()) return Annotate(parsers.status(), "content/parsers");
  return parsers;
}

std::vector<std::string> KnownParsers() {
  const auto described = LoadParsers({});
  if (!described.ok()) return {};
  std::vector<std::string> names = {"auto"};
  for (const auto& written : ingestion::kWrittenParsers) names.emplace_back(written.name);
  for (const auto& one : (*described)->descriptions()) names.push_back(one->name);
  return names;
}

absl::StatusOr<std::unique_ptr<OfflineLines>> OfflineLines::Make(
    const OfflineOptions& options, std::shared_ptr<const ingestion::ParserCatalogue> parsers) {
  if (!ingestion::ParserRegistry::IsKnownSetting(options.parser, parsers.get())) {
    return InvalidField("parser", fmt::format("there is no parser \"{}\"", options.parser));
  }
  std::unique_ptr<OfflineLines> lines(new OfflineLines(std::move(parsers)));
  const TimePoint now = SystemClock()->Now();
  auto& context = lines->context_;
  context.receive_time = now;
  if (options.received != "now") {
    YAGURA_ASSIGN_OR_RETURN(context.receive_time, ParseWhen(options.received, now));
  }
  YAGURA_ASSIGN_OR_RETURN(context.zone, ingestion::SourceZone::Find(options.zone));
  const auto charset = ingestion::FindCharset(options.charset);
  if (!charset)
    return InvalidField("charset", "must be one of utf-8, shift_jis, euc-jp, iso-8859-1");
  context.charset = *charset;
  lines->parser_ = options.parser;
  context.parser = lines->parser_;
  context.likely = &lines->likely_;
  context.memory = &lines->memory_;
  return lines;
}

}  // namespace yagura::cli
