#include <unistd.h>

#include <filesystem>
#include <iostream>

#include "cli/commands/command.h"
#include "cli/commands/event_range.h"
#include "cli/detect/detector.h"
#include "cli/detect/event_texts.h"
#include "cli/event_json.h"
#include "cli/offline_lines.h"
#include "cli/send/line_source.h"
#include "fmt/format.h"

#include "common/clock/proto_time.h"
#include "common/event/event_view.h"
#include "common/text/text.h"
#include "services/detection/domain/engine/rule_split.h"
#include "services/detection/domain/event_filter.h"
#include "yagura/archive/v1/archive_service.grpc.pb.h"
#include "yagura/detection/v1/detection_service.grpc.pb.h"

namespace yagura::cli {
namespace {

using archive::v1::ArchiveService;
using detection::v1::DetectionService;

constexpr size_t kMaxEventBytes = 12 << 20;
constexpr int kMaxEvents = 10'000;

struct TestOptions {
  std::string rule;
  std::string events = "-";
  RangeOptions range{.tenant = "", .filter = "", .since = ""};
  OfflineOptions lines;
};

const std::vector<TableColumn> kFindings = {{"FIRST EVENT", "first_event_time"},
                                            {"TITLE", "title"},
                                            {"SEVERITY", "severity"},
                                            {"EVENTS", "event_count"},
                                            {"MATCHED", "matched_fields", 100}};

std::string TenantOf(const TestOptions& options) {
  return options.range.tenant.empty() ? "provider" : options.range.tenant;
}

// The text of a file, or of a rule that is kept: of the tenant, else of the provider.
absl::StatusOr<std::string> RuleText(Client& client, const TestOptions& options) {
  std::error_code ignored;
  const bool is_file = options.rule == "-" || std::filesystem::exists(options.rule, ignored);
  const bool may_be_kept =
      options.rule.starts_with("tenants/") || options.rule.find_first_of("/.") == std::string::npos;
  if (is_file || !may_be_kept) return ReadText(options.rule, detection::kMaxRuleText);
  detection::v1::GetRuleRequest request;
  request.set_name(ResourceName(TenantOf(options), "rules", options.rule));
  auto rule = client.Call(&DetectionService::Stub::GetRule, request);
  if (rule.status().code() == absl::StatusCode::kNotFound) {
    request.set_name(
        ResourceName("provider", "rules",
                     std::string_view(request.name()).substr(request.name().rfind('/') + 1)));
    rule = client.Call(&DetectionService::Stub::GetRule, request);
  }
  if (!rule.ok()) {
    return Annotate(rule.status(),
                    fmt::format("{} is no file, and no rule that is kept", options.rule));
  }
  return rule->text();
}

// A line as the suite reads it, with its time; of a JSON object also every member by its own name.
absl::Status ReadLine(std::string_view line, OfflineLines& reader, event::v1::Event& event) {
  event::v1::Event written;
  const bool is_json = ReadEvent(line, written).ok();
  if (is_json && IsEventJson(line)) {  // read before: what the suite itself writes
    event = std::move(written);
    return absl::OkStatus();
  }
  event::ToProto(reader.Read(line).event, &event);
  if (!is_json) return absl::OkStatus();
  StringSet names;
  for (const auto& field : event.fields()) names.insert(field.name());
  for (auto& field : *written.mutable_fields()) {
    if (!names.contains(field.name())) *event.add_fields() = std::move(field);
  }
  return absl::OkStatus();
}

absl::Status TestGiven(Program& program, Client& client, const TestOptions& options) {
  if (options.rule == "-" && options.events == "-") {
    return InvalidField("events", "are read from standard input, and so is the rule: name a file");
  }
  detection::v1::TestRuleRequest request;
  request.set_parent(TenantParent(TenantOf(options)));
  YAGURA_ASSIGN_OR_RETURN(*request.mutable_text(), RuleText(client, options));
  auto parsers = LoadParsers(options.lines);
  if (!parsers.ok() && parsers.status().code() != absl::StatusCode::kNotFound) {
    return parsers.status();
  }
  YAGURA_ASSIGN_OR_RETURN(const auto reader,
                          OfflineLines::Make(options.lines, parsers.ok() ? *parsers : nullptr));
  YAGURA_ASSIGN_OR_RETURN(auto lines, LineSource::Open({options.events}, 1));
  EventTexts texts(std::move(lines));
  size_t read = 0;
  size_t bytes = request.ByteSizeLong();
  for (std::string text; texts.Next(text, read);) {
    auto& event = *request.add_events();
    YAGURA_RETURN_IF_ERROR(ReadLine(text, *reader, event));
    bytes += event.ByteSizeLong();
    if (request.events_size() > kMaxEvents || bytes > kMaxEventBytes) {
      return InvalidField("events", fmt::format("more than {} of them, or {} bytes: `detect` takes "
                                                "any number",
                                                kMaxEvents, kMaxEventBytes));
    }
  }
  YAGURA_RETURN_IF_ERROR(texts.status());
  YAGURA_ASSIGN_OR_RETURN(const auto response,
                          client.Call(&DetectionService::Stub::TestRule, request));
  Renderer renderer(program.format(), kFindings);
  for (const auto& finding : response.findings()) renderer.Add(finding);
  Write(renderer.Finish());
  if (program.format() == Format::kTable) {
    Write(fmt::format("{} of {} events matched, {} findings\n", response.matches_size(),
                      request.events_size(), response.findings_size()));
  }
  return absl::OkStatus();
}

// What `%names%` stand for with the tenant: its own values, else the provider's.
absl::StatusOr<detection::Placeholders> ReadPlaceholders(Client& client,
                                                         const std::string& tenant) {
  constexpr int kPage = 1000;
  detection::Placeholders values;
  for (const std::string& of : {std::string("provider"), tenant}) {
    detection::v1::ListPlaceholdersRequest request;
    request.set_parent(TenantParent(of));
    request.set_page_size(kPage);
    do {
      const auto page = client.Call(&DetectionService::Stub::ListPlaceholders, request);
      // Who may not read the provider's tests with the tenant's.
      if (page.status().code() == absl::StatusCode::kPermissionDenied && of != tenant) break;
      if (!page.ok()) return page.status();
      for (const auto& one : page->placeholders()) {
        values[one.name().substr(one.name().rfind('/') + 1)] = {one.values().begin(),
                                                                one.values().end()};
      }
      request.set_page_token(page->next_page_token());
    } while (!request.page_token().empty());
  }
  return values;
}

// Every rule of the text.
absl::StatusOr<std::vector<detection::ParsedRule>> ParseAll(
    std::string_view text, const detection::Placeholders& placeholders) {
  std::vector<detection::ParsedRule> rules;
  for (const auto& part : detection::SplitRules(text)) {
    auto rule = detection::ParseSigma(part.text, placeholders);
    if (!rule.ok()) return part.InFile(rule.status());
    if (rule->filter) return InvalidField("rule", "is a filter: it matches nothing by itself");
    rules.push_back(*std::move(rule));
  }
  return rules;
}

// The stored events of a range, in order of receipt.
class StoredEvents {
 public:
  StoredEvents(Client& client, archive::v1::ExportEventsRequest request, uint64_t total)
      : client_(client), request_(std::move(request)), total_(total) {}

  absl::Status Read(Detector& detector) {
    do {
      std::string next;
      bool any = false;
      absl::Status added;
      const absl::Status read =
          client_.ReadStream(&ArchiveService::Stub::ExportEvents, request_, false,
                             [&](const archive::v1::SearchEventsResponse& response) {
                               for (const auto& event : response.events()) {
                                 added.Update(detector.Add(event));
                               }
                               if (response.has_progress()) return added.ok();
                               any = any || response.events_size() > 0;
                               next = response.next_page_token();
                               Show(detector.events());
                               return added.ok();
                             });
      YAGURA_RETURN_IF_ERROR(added);
      const bool goes_on = read.code() == absl::StatusCode::kDeadlineExceeded && any;
      if (!read.ok() && !goes_on) return read;
      request_.set_page_token(next);
    } while (!request_.page_token().empty());
    if (isatty(STDERR_FILENO) != 0) std::cerr << "\r\x1b[K";
    return absl::OkStatus();
  }

 private:
  void Show(uint64_t events) const {
    if (isatty(STDERR_FILENO) == 0) return;
    std::cerr << fmt::format("\r\x1b[K{} of {} events", events, total_) << std::flush;
  }

  Client& client_;
  archive::v1::ExportEventsRequest request_;
  const uint64_t total_;
};

absl::Status TestStored(Program& program, Client& client, const TestOptions& options) {
  if (options.range.tenant.empty()) return InvalidField("tenant", "is needed with --since");
  // Events of several customers shall not make one finding.
  if (options.range.tenant == "-") return InvalidField("tenant", "is to be one, with --since");
  YAGURA_ASSIGN_OR_RETURN(const std::string text, RuleText(client, options));
  auto rules = ParseAll(text, {});
  if (!rules.ok()) {  // perhaps for want of these
    YAGURA_ASSIGN_OR_RETURN(const auto placeholders,
                            ReadPlaceholders(client, options.range.tenant));
    rules = ParseAll(text, placeholders);
  }
  if (!rules.ok()) return rules.status();
  std::vector<detection::SingleRule> singles;
  std::vector<detection::RuleSet::Entry> entries;
  for (auto& rule : *rules) {
    singles.insert(singles.end(), rule.rules.begin(), rule.rules.end());
    entries.push_back({"", std::make_shared<const detection::ParsedRule>(std::move(rule)), {}});
  }
  RangeOptions range = options.range;
  range.filter = detection::JoinFilters({range.filter, detection::LogsourceFilter(singles)});
  archive::v1::CountEventsRequest count;
  YAGURA_RETURN_IF_ERROR(FillRange(range, count));
  if (!count.range().has_end_time()) {  // the same for the count and the events
    *count.mutable_range()->mutable_end_time() = ToProto(SystemClock()->Now());
  }
  YAGURA_ASSIGN_OR_RETURN(const auto counted,
                          client.Call(&ArchiveService::Stub::CountEvents, count));
  archive::v1::ExportEventsRequest request;
  request.set_parent(count.parent());
  request.set_filter(count.filter());
  *request.mutable_range() = count.range();
  Detector detector(detection::RuleSet::Build(std::move(entries)), SystemClock()->Now(),
                    options.range.tenant);
  YAGURA_RETURN_IF_ERROR(StoredEvents(client, request, counted.total()).Read(detector));
  YAGURA_ASSIGN_OR_RETURN(const auto findings, detector.Finish());
  Renderer renderer(program.format(), kFindings);
  for (const auto& finding : findings) renderer.Add(finding);
  Write(renderer.Finish());
  // Apart from what a script reads.
  std::cerr << detector.MatchTable()
            << fmt::format("{} stored events of the log source looked at; {} findings\n",
                           detector.events(), findings.size())
            << CoverageNotes(counted.coverage());
  return absl::OkStatus();
}

}  // namespace

void AddRuleTest(Program& program) {
  auto options = std::make_shared<TestOptions>();
  CLI::App& command =
      *program.Group("rule", "Sigma rules")
           .add_subcommand(
               "test",
               "Try a rule on events, keeping nothing: with --since on the tenant's stored events "
               "of "
               "a period, as it would have found them; else on given ones, whatever its log source "
               "(at most 10,000). These are what `detect` takes: what `event search -o jsonl` "
               "writes, JSON objects of original fields, {\"dstport\": \"22\", ...}, or lines that "
               "a "
               "parser knows. Their own times count for windows. Filters and tunings do not count");
  command
      .add_option("rule", options->rule,
                  "File with the Sigma rule, or a rule that is kept: its id or name")
      ->required();
  auto* events =
      command.add_option("events", options->events, "File with the events; - is standard input")
          ->capture_default_str();
  command.add_option("--tenant", options->range.tenant,
                     "On whose behalf (without it the provider's), and whose stored events");
  auto* since = command
                    .add_option("--since,--from", options->range.since,
                                "Stored events received since: a time, or 24h, 7d ago")
                    ->excludes(events);
  command.add_option("--until,--to", options->range.until, "Received before")
      ->capture_default_str()
      ->needs(since);
  command.add_option("--filter", options->range.filter, kFilterHelp)->needs(since);
  AddOfflineOptions(command, options->lines);
  program.DoConnected(command, [&program, options](Client& client) {
    constexpr std::string_view kTenants = "tenants/";
    if (options->range.tenant.starts_with(kTenants))
      options->range.tenant.erase(0, kTenants.size());
    return options->range.since.empty() ? TestGiven(program, client, *options)
                                        : TestStored(program, client, *options);
  });
}

}  // namespace yagura::cli
