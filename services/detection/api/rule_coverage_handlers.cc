#include "services/detection/api/rule_coverage_handlers.h"

#include <algorithm>

#include "fmt/format.h"

#include "common/event/alias.h"
#include "common/filter/filter.h"
#include "common/rpc/call.h"
#include "common/rpc/service_registry.h"
#include "common/status/status.h"
#include "common/store/page_token.h"
#include "common/store/resource_name.h"
#include "services/detection/domain/event_filter.h"
#include "services/detection/domain/rule_resource.h"

namespace yagura::detection {
namespace {

constexpr int kDefaultDays = 7;
constexpr int kMostDays = 90;
constexpr int kDefaultPage = 50;
constexpr int kLargestPage = 1'000;
constexpr std::chrono::minutes kRemembered{2};
constexpr size_t kMostKept = 50;
constexpr int kSample = 300;
constexpr size_t kPathsAtOnce = 10;
// Of one answer, beside one for the shapes and one sample a logsource.
constexpr int kMostQuestions = 200;

// One logsource of the rules in force.
struct AskedSource {
  const Expression* test = nullptr;
  std::string filter;
  std::set<std::string> fields;
};

// Finds out what of the logsources a tenant sends.
class SourceSurvey {
 public:
  SourceSurvey(LogLook& look, const rpc::Call& call, const LogLook::Range& range)
      : look_(look), call_(call), range_(range) {}

  absl::Status Start() {
    YAGURA_ASSIGN_OR_RETURN(shapes_, look_.ShapesOf(call_, range_));
    return absl::OkStatus();
  }
  uint64_t total() const { return shapes_.total; }

  absl::StatusOr<SeenSource> Look(const AskedSource& source) {
    SeenSource seen;
    YAGURA_ASSIGN_OR_RETURN(seen.events, CountOf(source));
    for (const auto& shape : shapes_.shapes) {
      if (!shapes_.complete || IsOf(*source.test, shape) == Truth::kFalse) continue;
      seen.kinds.insert({shape.product, shape.category});
    }
    if (seen.events > 0) YAGURA_RETURN_IF_ERROR(FindFields(source, seen));
    return seen;
  }

 private:
  absl::StatusOr<uint64_t> CountOf(const AskedSource& source) {
    uint64_t sure = 0;
    bool open = !shapes_.complete;
    uint64_t possible = 0;
    for (const auto& shape : shapes_.shapes) {
      const Truth truth = IsOf(*source.test, shape);
      if (truth == Truth::kTrue) sure += shape.count;
      if (truth == Truth::kUnknown) possible += shape.count;
    }
    open = open || possible > 0;
    if (!open) return sure;
    // What the shapes leave open the archive knows; where it cannot be asked, they may be there.
    if (source.filter.empty() || ++questions_ > kMostQuestions) {
      return sure + std::max<uint64_t>(possible, 1);
    }
    return look_.Count(call_, range_, source.filter);
  }

  // Most fields are in the latest events; the archive is asked for the others.
  absl::Status FindFields(const AskedSource& source, SeenSource& seen) {
    YAGURA_ASSIGN_OR_RETURN(const auto sample, look_.Sample(call_, range_, source.filter, kSample));
    std::set<std::string> names;
    StringSet cores;
    for (const auto& event : sample) {
      for (const auto& field : event.fields()) {
        if (!field.value().empty()) names.insert(field.name());
      }
    }
    YAGURA_RETURN_IF_ERROR(FindCores(sample, cores));
    std::map<std::string, std::string> open;  // path -> field of rules
    for (const auto& field : source.fields) {
      for (const auto& path : PathsOf(field)) {
        const bool is_core = !path.starts_with("fields.");
        const bool found = is_core ? cores.contains(path) : names.contains(path.substr(7));
        if (found) seen.fields.insert(field);
      }
      if (seen.fields.contains(field)) continue;
      for (const auto& path : PathsOf(field)) open.emplace(path, field);
    }
    // The sample was all there is.
    if (sample.size() < kSample && sample.size() >= seen.events) return absl::OkStatus();
    for (auto at = open.begin(); at != open.end();) {
      if (++questions_ > kMostQuestions) {
        seen.fields_known = false;
        return absl::OkStatus();
      }
      std::vector<std::string> paths;
      std::map<std::string, std::string> field_of;
      for (; at != open.end() && paths.size() < kPathsAtOnce; ++at) {
        paths.push_back(at->first);
        field_of.insert(*at);
      }
      YAGURA_ASSIGN_OR_RETURN(const auto present,
                              look_.Present(call_, range_, source.filter, paths));
      for (const auto& path : present) MarkSeen(source, path, seen);
    }
    return absl::OkStatus();
  }

  static void MarkSeen(const AskedSource& source, const std::string& path, SeenSource& seen) {
    for (const auto& field : source.fields) {
      const auto paths = PathsOf(field);
      if (std::ranges::find(paths, path) != paths.end()) seen.fields.insert(field);
    }
  }

  // Where the archive has the values of a rule's field.
  static std::vector<std::string> PathsOf(const std::string& field) {
    if (field.starts_with('@') && event::CoreByName(field.substr(1))) return {field.substr(1)};
    const auto resolved = event::ResolveSigmaName(field);
    std::vector<std::string> paths = {"fields." + resolved.original};
    if (resolved.core) paths.emplace_back(event::CoreName(*resolved.core));
    return paths;
  }

  // Core columns that have a value in any of the events.
  absl::Status FindCores(const std::vector<event::v1::Event>& events, StringSet& cores) const {
    for (size_t first = 0; first < events.size();) {
      event::BatchBuilder builder({call_.tenant(), "sample", range_.end});
      while (first < events.size() && !builder.full()) builder.Add(events[first++]);
      YAGURA_ASSIGN_OR_RETURN(auto batch, event::BatchReader::Open(builder.Finish()));
      for (const auto name : event::CoreNames()) {
        YAGURA_ASSIGN_OR_RETURN(const auto* column, batch.Read(*event::CoreByName(name)));
        if (!column->empty()) cores.emplace(name);
      }
    }
    return absl::OkStatus();
  }

  LogLook& look_;
  const rpc::Call& call_;
  const LogLook::Range range_;
  LogLook::Shapes shapes_;
  int questions_ = 0;
};

absl::StatusOr<int> DaysOf(int asked) {
  if (asked < 0 || asked > kMostDays) {
    return InvalidField("days", fmt::format("is not between 1 and {}", kMostDays));
  }
  return asked == 0 ? kDefaultDays : asked;
}

// Items that fit the request's filter, from its page on.
template <typename Item, typename Request, typename KeyOf>
absl::StatusOr<std::vector<const Item*>> FittingPage(const Request& request,
                                                     const std::vector<Item>& items,
                                                     const filter::Filter& fitting,
                                                     const KeyOf& key_of, std::string* next) {
  if (request.page_size() < 0) return InvalidField("page_size", "must not be negative");
  const auto size = static_cast<size_t>(
      request.page_size() == 0 ? kDefaultPage : std::min(request.page_size(), kLargestPage));
  const std::string identity = fmt::format("{}\n{}\n{}\n{}", Item::descriptor()->name(),
                                           request.parent(), request.filter(), request.days());
  std::string after;
  const bool goes_on = !request.page_token().empty();
  if (goes_on) {
    YAGURA_ASSIGN_OR_RETURN(after, store::DecodePageToken(identity, request.page_token()));
  }
  std::vector<const Item*> page;
  for (const Item& item : items) {
    if ((goes_on && key_of(item) <= after) || !fitting.Matches(item)) continue;
    if (page.size() == size) {
      *next = store::EncodePageToken(identity, key_of(*page.back()));
      break;
    }
    page.push_back(&item);
  }
  return page;
}

}  // namespace

RuleCoverageHandlers::RuleCoverageHandlers(store::Store<v1::Rule> rules,
                                           std::shared_ptr<RuleBook> rule_book,
                                           std::shared_ptr<LogLook> look,
                                           std::shared_ptr<const Clock> clock)
    : rules_(std::move(rules)),
      rule_book_(std::move(rule_book)),
      look_(std::move(look)),
      clock_(std::move(clock)) {}

void RuleCoverageHandlers::Register(rpc::ServiceRegistry& registry) {
  const std::string service = "/yagura.detection.v1.DetectionService/";
  registry.Unary<v1::ListRuleCoverageRequest, v1::ListRuleCoverageResponse>(
      service + "ListRuleCoverage",
      [this](const auto& call, const auto& request) { return List(call, request); });
  registry.Unary<v1::ListTechniqueCoverageRequest, v1::ListTechniqueCoverageResponse>(
      service + "ListTechniqueCoverage",
      [this](const auto& call, const auto& request) { return ListTechniques(call, request); });
}

absl::StatusOr<v1::ListRuleCoverageResponse> RuleCoverageHandlers::List(
    const rpc::Call& call, const v1::ListRuleCoverageRequest& request) {
  if (call.all_tenants()) return InvalidField("parent", "must name one tenant");
  YAGURA_ASSIGN_OR_RETURN(const int days, DaysOf(request.days()));
  YAGURA_ASSIGN_OR_RETURN(
      const auto fitting,
      filter::Filter::Parse(request.filter(),
                            filter::Schema(v1::RuleCoverage::descriptor()).Search("title")));
  YAGURA_ASSIGN_OR_RETURN(const auto answer, AnswerFor(call, days));
  v1::ListRuleCoverageResponse response;
  YAGURA_ASSIGN_OR_RETURN(
      const auto page,
      FittingPage(
          request, answer->rules, fitting, [](const v1::RuleCoverage& one) { return one.rule(); },
          response.mutable_next_page_token()));
  for (const auto* one : page) *response.add_rule_coverages() = *one;
  for (const auto& one : answer->rules) {
    if (!fitting.Matches(one)) continue;
    if (one.level() == v1::COVERED) response.set_covered_count(response.covered_count() + 1);
    if (one.level() == v1::PARTLY_COVERED) response.set_partly_count(response.partly_count() + 1);
    if (one.level() == v1::NO_SOURCE) response.set_no_source_count(response.no_source_count() + 1);
  }
  response.set_event_count(answer->events);
  return response;
}

absl::StatusOr<v1::ListTechniqueCoverageResponse> RuleCoverageHandlers::ListTechniques(
    const rpc::Call& call, const v1::ListTechniqueCoverageRequest& request) {
  if (call.all_tenants()) return InvalidField("parent", "must name one tenant");
  YAGURA_ASSIGN_OR_RETURN(const int days, DaysOf(request.days()));
  YAGURA_ASSIGN_OR_RETURN(
      const auto fitting,
      filter::Filter::Parse(
          request.filter(),
          filter::Schema(v1::TechniqueCoverage::descriptor()).Search("technique")));
  YAGURA_ASSIGN_OR_RETURN(const auto answer, AnswerFor(call, days));
  const auto techniques = ByTechnique(answer->rules);
  v1::ListTechniqueCoverageResponse response;
  YAGURA_ASSIGN_OR_RETURN(const auto page,
                          FittingPage(
                              request, techniques, fitting,
                              [](const v1::TechniqueCoverage& one) { return one.technique(); },
                              response.mutable_next_page_token()));
  for (const auto* one : page) *response.add_technique_coverages() = *one;
  return response;
}

// Pages of one list shall fit together, and looking is dear.
absl::StatusOr<std::shared_ptr<const RuleCoverageHandlers::Answer>> RuleCoverageHandlers::AnswerFor(
    const rpc::Call& call, int days) {
  const std::string key =
      fmt::format("{} {} {}", call.tenant(), days, rule_book_->latest_version());
  const auto now = std::chrono::steady_clock::now();
  {
    const std::lock_guard lock(mutex_);
    std::erase_if(kept_, [now](const auto& one) { return one.second.until < now; });
    if (const auto found = kept_.find(key); found != kept_.end()) return found->second.answer;
  }
  YAGURA_ASSIGN_OR_RETURN(auto computed, Compute(call, days));
  auto answer = std::make_shared<const Answer>(std::move(computed));
  const std::lock_guard lock(mutex_);
  if (kept_.size() >= kMostKept) kept_.clear();
  kept_[key] = {answer, now + kRemembered};
  return answer;
}

absl::StatusOr<RuleCoverageHandlers::Answer> RuleCoverageHandlers::Compute(const rpc::Call& call,
                                                                           int days) {
  const TimePoint now = clock_->Now();
  YAGURA_ASSIGN_OR_RETURN(const auto set, rule_book_->Load(rule_book_->latest_version()));
  std::map<std::string, AskedSource> asked;
  for (const auto& entry : set->entries()) {
    if (!entry.IsFor(call.tenant())) continue;
    for (const auto& rule : entry.rule->rules) {
      AskedSource& source = asked[LogsourceKey(rule.logsource)];
      if (source.test == nullptr) {
        source.test = &rule.logsource_test;
        source.filter = FilterOf(rule.logsource_test);
      }
      AddFields(rule.condition, source.fields);
    }
  }
  SourceSurvey survey(*look_, call, {now - std::chrono::hours(24) * days, now});
  YAGURA_RETURN_IF_ERROR(survey.Start());
  std::map<std::string, SeenSource> seen;
  for (const auto& [key, source] : asked) {
    YAGURA_ASSIGN_OR_RETURN(seen[key], survey.Look(source));
  }
  std::set<std::string> own;  // of the tenant
  const auto take = [&own](const v1::Rule& rule) {
    own.insert(std::string(store::LastId(rule.name())));
    return absl::OkStatus();
  };
  YAGURA_RETURN_IF_ERROR(rules_.ForEach(call.tenant(), take, [](const std::string&) {}));
  Answer answer;
  answer.events = survey.total();
  for (const auto& entry : set->entries()) {
    if (!entry.IsFor(call.tenant())) continue;
    answer.rules.push_back(CoverageOf(*entry.rule, seen));
    const std::string& id = entry.rule->info().id;
    answer.rules.back().set_rule(
        fmt::format("tenants/{}/rules/{}", own.contains(id) ? call.tenant() : kProviderTenant, id));
  }
  std::ranges::sort(answer.rules, {}, &v1::RuleCoverage::rule);
  return answer;
}

}  // namespace yagura::detection
