#include <iostream>
#include <map>

#include "cli/commands/command.h"
#include "cli/offline_lines.h"
#include "cli/send/line_source.h"
#include "cli/send/progress.h"
#include "fmt/format.h"

#include "common/clock/proto_time.h"
#include "common/text/text.h"
#include "services/ingestion/domain/parsers/names.h"
#include "yagura/event/v1/event.pb.h"

namespace yagura::cli {
namespace {

struct ParseOptions {
  std::vector<std::string> files{"-"};
  OfflineOptions lines;
  bool list = false;
};

// What is wrong with the event, in words. That a line has no time is in the summary alone.
std::string ProblemOf(const google::protobuf::Message& message) {
  const auto& event = dynamic_cast<const event::v1::Event&>(message);
  std::vector<std::string> problems;
  if (!event.parse_error().empty()) problems.push_back(event.parse_error());
  for (const int flaw : event.flaws()) {
    if (flaw == event::v1::TRUNCATED) problems.emplace_back("cut (TRUNCATED)");
    if (flaw == event::v1::CLOCK_ERROR) {
      problems.emplace_back("its time is far from --received (CLOCK_ERROR)");
    }
  }
  return Join(problems, "; ");
}

const std::vector<TableColumn> kColumns = {
    {"TIME", "event_time"},         {"PRODUCT", "product", 30}, {"CATEGORY", "category", 20},
    {"SEVERITY", "severity"},       {"ACTION", "action"},       {"SOURCE", "src.ip"},
    {"PORT", "src.port"},           {"DESTINATION", "dst.ip"},  {"PORT", "dst.port"},
    {"PROTOCOL", "protocol"},       {"RULE", "rule", 24},       {"USER", "user", 24},
    {"PROBLEM", "", 100, ProblemOf}};

// How the lines of one product came out.
struct ProductCount {
  uint64_t lines = 0;
  uint64_t fields = 0;
  uint64_t partly = 0;       // recognised, but not read whole
  uint64_t no_time = 0;      // no time that could be read
  uint64_t wrong_clock = 0;  // a time far from the receipt
  uint64_t cut = 0;          // longer than is kept
};

class Summary {
 public:
  void Count(const event::EventView& event) {
    ProductCount& count = products_[std::string(event.product)];
    const auto has = [&event](event::v1::Flaw flaw) {
      return (event.flaws >> flaw & 1) != 0 ? uint64_t{1} : uint64_t{0};
    };
    ++count.lines;
    count.fields += event.fields.size();
    count.partly += has(event::v1::PARTLY_PARSED) + has(event::v1::UNPARSED);
    count.no_time += has(event::v1::NO_EVENT_TIME);
    count.wrong_clock += has(event::v1::CLOCK_ERROR);
    count.cut += has(event::v1::TRUNCATED);
  }

  std::string Text() const {
    std::string text =
        fmt::format("{:<32} {:>10} {:>14} {:>12} {:>12} {:>12} {:>8}\n", "PRODUCT", "LINES",
                    "FIELDS A LINE", "NOT WHOLE", "WITHOUT TIME", "CLOCK ERROR", "CUT");
    for (const auto& [product, count] : products_) {
      text += fmt::format("{:<32} {:>10} {:>14.1f} {:>12} {:>12} {:>12} {:>8}\n",
                          EscapeForTerminal(product), count.lines,
                          static_cast<double>(count.fields) / static_cast<double>(count.lines),
                          count.partly, count.no_time, count.wrong_clock, count.cut);
    }
    return text;
  }

 private:
  std::map<std::string, ProductCount> products_;
};

std::string ListOf(const ingestion::ParserCatalogue& catalogue) {
  std::string text = "auto         recognise the format of each line\n";
  for (const auto& written : ingestion::kWrittenParsers) {
    text += fmt::format("{:<12} {}\n", written.name, written.title);
  }
  for (const auto& description : catalogue.descriptions()) {
    text += fmt::format("{:<12} {}\n", description->name, description->title);
  }
  return text;
}

absl::Status Parse(const Program& program, const ParseOptions& options) {
  YAGURA_ASSIGN_OR_RETURN(const auto parsers, LoadParsers(options.lines));
  if (options.list) {
    Write(ListOf(*parsers));
    return absl::OkStatus();
  }
  YAGURA_ASSIGN_OR_RETURN(const auto reader, OfflineLines::Make(options.lines, parsers));
  YAGURA_ASSIGN_OR_RETURN(auto lines, LineSource::Open(options.files, 1));

  Renderer renderer(program.format(), kColumns);
  Summary summary;
  Progress progress(lines.total_bytes());
  event::v1::Event event;
  constexpr size_t kRowsAtOnce = 200;
  for (std::string line; lines.Next(line);) {
    const ingestion::ParsedLine& parsed = reader->Read(line);
    summary.Count(parsed.event);
    event.Clear();
    event::ToProto(parsed.event, &event);
    renderer.Add(event);
    progress.Add(1, line.size() + 1);
    if (renderer.rows() % kRowsAtOnce == 0) {
      progress.Clear();
      Write(renderer.Flush());
    }
  }
  progress.Clear();
  Write(renderer.Finish());
  YAGURA_RETURN_IF_ERROR(lines.status());
  // Apart from what a script reads.
  const bool table = program.format() == Format::kTable;
  const std::string closing = fmt::format("\n{}{}\n", summary.Text(), progress.Summary());
  if (table) {
    Write(closing);
  } else {
    std::cerr << closing;
  }
  return absl::OkStatus();
}

}  // namespace

void AddParseCommand(Program& program) {
  auto options = std::make_shared<ParseOptions>();
  CLI::App& command = *program.app().add_subcommand(
      "parse", "What lines of files become, read here as the suite reads them");
  command
      .add_option("files", options->files,
                  "Files of lines, packed (.zst) or not; - is standard input")
      ->capture_default_str();
  AddOfflineOptions(command, options->lines);
  command.add_flag("--list", options->list, "Tell which parsers there are, and read nothing");
  program.Do(command, [&program, options] { return Parse(program, *options); });
}

}  // namespace yagura::cli
