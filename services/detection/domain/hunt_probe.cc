#include "services/detection/domain/hunt_probe.h"

#include <algorithm>
#include <array>
#include <map>
#include <optional>
#include <utility>

#include "fmt/format.h"

#include "common/clock/proto_time.h"
#include "common/event/batch_codec.h"
#include "common/status/status.h"
#include "common/text/text.h"
#include "services/detection/domain/engine/batch_matcher.h"
#include "services/detection/domain/event_facts.h"
#include "services/detection/domain/event_filter.h"
#include "services/detection/domain/evidence_block.h"
#include "services/detection/domain/hits.h"
#include "services/detection/domain/hunt_result.h"
#include "services/detection/domain/product_match.h"
#include "services/detection/domain/tags.h"
#include "services/detection/domain/window_outcome.h"

namespace yagura::detection {
namespace {

using v1::HuntResult;

constexpr size_t kMaxMatchedFields = 8;
constexpr size_t kMaxFieldValue = 256;
constexpr size_t kMaxFindings = 200'000;
// As the service folds.
constexpr std::chrono::minutes kFold{10};
// How late events of the past may come, as long as there is room: no hunt is about more time.
constexpr std::chrono::hours kPatience{400 * 24};
// What the windows may take for that: as much as is kept beside a checkpoint.
constexpr size_t kPatientBytes = 8 << 20;

Windows::Limits PatientLimits(Windows::Limits limits) {
  limits.patience = kPatience;
  limits.patient_bytes = std::min(limits.patient_bytes, kPatientBytes);
  return limits;
}

std::string HowLong(std::chrono::nanoseconds time) {
  using std::chrono::duration_cast;
  if (time >= std::chrono::hours(2)) {
    return fmt::format("{} hours", duration_cast<std::chrono::hours>(time).count());
  }
  if (time >= std::chrono::minutes(2)) {
    return fmt::format("{} minutes", duration_cast<std::chrono::minutes>(time).count());
  }
  return fmt::format("{} seconds", duration_cast<std::chrono::seconds>(time).count());
}

std::shared_ptr<const RuleSet> SetOf(std::vector<ParsedRule> rules) {
  std::vector<RuleSet::Entry> entries;
  entries.reserve(rules.size());
  for (auto& rule : rules) {
    entries.push_back({"", std::make_shared<const ParsedRule>(std::move(rule)), {}});
  }
  return RuleSet::Build(std::move(entries));
}

// Puts events before rules, as batches of the engine.
class Engine {
 public:
  Engine(std::string_view tenant, std::vector<ParsedRule> rules)
      : tenant_(tenant), matcher_(SetOf(std::move(rules))) {}

  // A batch of `events`, from `first` on.
  struct Batch {
    int first = 0;
    event::BatchReader reader;
    std::vector<Match> matches;
    std::string source_id;
  };
  // Runs `take` with one batch after the other.
  template <typename Take>
  absl::Status Run(const HuntProbe::Events& events, const Take& take) {
    for (int first = 0; first < events.size();) {
      const std::string id = fmt::format("1-{}", ++batches_);
      event::BatchBuilder builder(
          {tenant_, "hunt" + id, FromProto(events.Get(first).receive_time())});
      int next = first;
      while (next < events.size() && !builder.full()) builder.Add(events.Get(next++));
      YAGURA_ASSIGN_OR_RETURN(
          auto reader,
          event::BatchReader::Open(builder.Finish(event::BatchBuilder::Compression::kNone)));
      Batch batch{first, std::move(reader), {}, id};
      YAGURA_ASSIGN_OR_RETURN(batch.matches, matcher_.Run(batch.reader));
      YAGURA_RETURN_IF_ERROR(take(batch));
      first = next;
    }
    return absl::OkStatus();
  }

  const RuleInfo& InfoOf(const Match& match) const {
    const auto& target = matcher_.rules().targets()[match.target];
    return matcher_.rules().rule(target).rules[target.rule].info;
  }
  bool MakesFindings(const Match& match) const {
    return matcher_.rules().targets()[match.target].makes_findings;
  }
  absl::Status AddMatchedFields(const Match& match, v1::Evidence& evidence) {
    YAGURA_ASSIGN_OR_RETURN(const auto fields, matcher_.MatchedFields(match));
    for (size_t i = 0; i < fields.size() && i < kMaxMatchedFields; ++i) {
      YAGURA_ASSIGN_OR_RETURN(const auto value, matcher_.Value(fields[i], match.row));
      AddField(*evidence.mutable_matched_fields(), matcher_.rules().field_name(fields[i]), value,
               kMaxFieldValue);
    }
    return absl::OkStatus();
  }
  BatchMatcher& matcher() { return matcher_; }
  // How many there were: their ids are numbered.
  uint64_t batches() const { return batches_; }
  void set_batches(uint64_t batches) { batches_ = batches; }

 private:
  const std::string tenant_;
  BatchMatcher matcher_;
  uint64_t batches_ = 0;
};

// Counts each event of `batch` that rules match, unless `counted` says that it is.
template <typename Counted>
absl::Status CountMatches(Engine& engine, const HuntProbe::Events& events,
                          const Engine::Batch& batch, const Counted& counted, HuntResult& result) {
  const auto& matches = batch.matches;
  for (size_t i = 0; i < matches.size();) {
    const uint32_t row = matches[i].row;
    const event::v1::Event& event = events.Get(batch.first + static_cast<int>(row));
    const bool count = !counted(event);
    std::optional<Match> first;
    for (; i < matches.size() && matches[i].row == row; ++i) {
      if (!count || !engine.MakesFindings(matches[i])) continue;
      if (!first) first = matches[i];
      AddMatch(engine.InfoOf(matches[i]).title, v1::RULE, event, result);
    }
    if (!first) continue;
    AddAttempt(event, result);
    v1::Evidence evidence = EvidenceOf(event);
    YAGURA_RETURN_IF_ERROR(engine.AddMatchedFields(*first, evidence));
    AddEvidence(std::move(evidence), result);
  }
  return absl::OkStatus();
}

class SingleRuleProbe final : public HuntProbe {
 public:
  SingleRuleProbe(std::string_view tenant, ParsedRule rule)
      : HuntProbe(std::vector<std::string>{LogsourceFilter(rule.rules)}),
        engine_(tenant, One(std::move(rule))) {}

  absl::Status Look(size_t, const Events& events, HuntResult& result) override {
    return engine_.Run(events, [&](const Engine::Batch& batch) {
      return CountMatches(
          engine_, events, batch, [](const auto&) { return false; }, result);
    });
  }

 private:
  static std::vector<ParsedRule> One(ParsedRule rule) {
    std::vector<ParsedRule> rules;
    rules.push_back(std::move(rule));
    return rules;
  }
  Engine engine_;
};

class CorrelationProbe final : public HuntProbe {
 public:
  CorrelationProbe(std::string_view tenant, ParsedRule rule, const Windows::Limits& limits)
      : HuntProbe(std::vector<std::string>{LogsourceFilter(rule.rules)}),
        title_(rule.info().title),
        engine_(tenant, One(std::move(rule))),
        lateness_(limits.lateness),
        windows_(PatientLimits(limits)) {}

  bool has_state() const override { return true; }

  internal::v1::HuntProbeState State() override {
    internal::v1::HuntProbeState state;
    windows_.MarkAll();
    for (const auto& [key, group] : windows_.dirty_groups()) {
      if (group != nullptr) (*state.mutable_groups())[key] = windows_.WholeGroup(*group);
    }
    for (const auto& [key, bundle] : windows_.dirty_bundles()) {
      if (bundle != nullptr) (*state.mutable_bundles())[key] = *bundle;
    }
    const auto& batches = windows_.dirty_checkpoints();
    if (const auto last = batches.find(kShard); last != batches.end()) {
      state.set_last_batch(last->second);
    }
    const auto& received = windows_.dirty_watermarks();
    if (const auto latest = received.find(kShard); latest != received.end()) {
      state.set_received(latest->second);
    }
    windows_.Clean();
    state.set_batches(engine_.batches());
    state.set_lateness(windows_.lateness().count());
    for (const auto& [name, finding] : findings_) {
      auto& kept = *state.add_findings();
      kept.set_name(name);
      *kept.mutable_first_time() = ToProto(finding.first);
      *kept.mutable_last_time() = ToProto(finding.last);
      kept.set_event_count(finding.events);
      kept.set_action(finding.action);
    }
    return state;
  }

  void GoOn(internal::v1::HuntProbeState state) override {
    for (auto& [key, group] : *state.mutable_groups()) windows_.LoadGroup(key, std::move(group));
    for (auto& [key, rules] : *state.mutable_bundles()) {
      windows_.LoadBundle(key, std::move(rules));
    }
    if (!state.last_batch().empty()) {
      windows_.LoadCheckpoint(kShard, state.last_batch());
      windows_.LoadWatermark(kShard, state.received());
    }
    engine_.set_batches(state.batches());
    if (state.lateness() > 0) {
      windows_.LoadLateness(std::chrono::nanoseconds(state.lateness()));
    } else if (state.groups_size() > 0) {  // of a release whose windows had no patience
      windows_.LoadLateness(lateness_);
    }
    for (const auto& kept : state.findings()) {
      findings_[kept.name()] = {FromProto(kept.first_time()), FromProto(kept.last_time()),
                                kept.event_count(), kept.action()};
    }
  }

  absl::Status Look(size_t, const Events& events, HuntResult& result) override {
    return engine_.Run(events, [&](Engine::Batch& batch) -> absl::Status {
      const HitSource source{kShard, batch.source_id, 1};
      YAGURA_ASSIGN_OR_RETURN(auto hits, MakeHits(
                                             engine_.matcher(), batch.reader, batch.matches, source,
                                             [](std::string_view) { return 0; }, kFold));
      AddWatermarks(batch.reader, source, 1, hits);
      const uint64_t late_before = windows_.late();
      for (auto& [shard, hit_batch] : hits) {
        RenameEvents(hit_batch,
                     [&](const std::string& id) { return NameOf(events, batch.first, id); });
        Note(windows_.Apply(std::move(hit_batch)), result);
      }
      result.set_late_event_count(result.late_event_count() + windows_.late() - late_before);
      windows_.Clean();
      return absl::OkStatus();
    });
  }

  void Finish(HuntResult& result) override {
    Note(windows_.Finish(), result);
    if (result.late_event_count() > 0) {
      AddRemark(fmt::format("{} events were received too late to be counted where they happened, "
                            "in the end by more than {}: there was no room to wait for longer.",
                            result.late_event_count(), HowLong(windows_.lateness())),
                result);
    }
    result.set_finding_count(findings_.size());
    for (const auto& [name, finding] : findings_) {
      AddToTally(finding.first, finding.last, finding.events, *result.mutable_attempted());
      AddToTally(finding.first, finding.last, finding.events,
                 TallyOf(FateOf(finding.action), result));
    }
    if (findings_.empty()) return;
    auto& match = *result.add_matches();
    match.set_value(title_);
    match.set_kind(v1::RULE);
    *match.mutable_events() = result.attempted();
    match.set_passed_count(result.passed().count());
    match.set_blocked_count(result.blocked().count());
  }

 private:
  static constexpr uint32_t kShard = 0;  // all events come from one
  struct Finding {
    TimePoint first;
    TimePoint last;
    uint64_t events = 0;
    event::v1::Action action = event::v1::ACTION_UNSPECIFIED;
  };
  static std::vector<ParsedRule> One(ParsedRule rule) {
    std::vector<ParsedRule> rules;
    rules.push_back(std::move(rule));
    return rules;
  }
  static v1::HuntTally& TallyOf(AttemptFate fate, HuntResult& result) {
    if (fate == AttemptFate::kPassed) return *result.mutable_passed();
    if (fate == AttemptFate::kBlocked) return *result.mutable_blocked();
    return *result.mutable_undecided();
  }
  // The engine numbers the events of its batch; the archive knows them by their own ids.
  static std::string NameOf(const Events& events, int first, const std::string& id) {
    const auto index = ParseNumber<int>(std::string_view(id).substr(id.rfind('-') + 1));
    return index && first + *index < events.size() ? events.Get(first + *index).id() : id;
  }
  void Note(const std::vector<Windows::Outcome>& outcomes, HuntResult& result) {
    for (const auto& outcome : outcomes) {
      const v1::Finding& told = outcome.finding;
      if (IsAboutWindows(told)) {
        AddRemark(
            "There are more groups than can be counted at a time; events of some are left out.",
            result);
        continue;
      }
      if (findings_.size() >= kMaxFindings && !findings_.contains(told.name())) {
        AddRemark(fmt::format("There would be more than {} findings; the rest is left out.",
                              kMaxFindings),
                  result);
        continue;
      }
      Finding& finding = findings_[told.name()];
      finding.first = FromProto(told.first_event_time());
      finding.last = FromProto(told.last_event_time());
      finding.events = told.event_count();
      finding.action = LaxerAction(finding.action, told.action());
      for (const auto& evidence : told.evidence()) AddEvidence(evidence, result);
    }
  }

  const std::string title_;
  Engine engine_;
  const std::chrono::nanoseconds lateness_;
  Windows windows_;
  std::map<std::string, Finding> findings_;
};

class IndicatorProbe final : public HuntProbe {
 public:
  explicit IndicatorProbe(IndicatorMatcher matcher)
      : HuntProbe(FiltersOf(matcher)), matcher_(std::move(matcher)) {}

  absl::Status Look(size_t pass, const Events& events, HuntResult& result) override {
    const auto& part = matcher_.parts()[pass];
    for (const auto& event : events) {
      const auto named = matcher_.Find(event);
      // The first part that an event is of counts it, with all that it names.
      if (named.empty() || named.front().indicator < part.first ||
          named.front().indicator >= part.last) {
        continue;
      }
      AddAttempt(event, result);
      v1::Evidence evidence = EvidenceOf(event);
      for (const auto& one : named) {
        const std::string& shown = matcher_.indicators()[one.indicator].shown;
        AddMatch(shown, v1::INDICATOR, event, result);
        if (evidence.matched_fields_size() < static_cast<int>(kMaxMatchedFields)) {
          AddField(*evidence.mutable_matched_fields(), one.field, shown, kMaxFieldValue);
        }
      }
      AddEvidence(std::move(evidence), result);
    }
    return absl::OkStatus();
  }

 private:
  static std::vector<std::string> FiltersOf(const IndicatorMatcher& matcher) {
    std::vector<std::string> filters;
    for (const auto& part : matcher.parts()) filters.push_back(part.filter);
    return filters;
  }
  const IndicatorMatcher matcher_;
};

// What an event calls an attack by.
bool NamesAttacks(std::string_view field) {
  constexpr std::array<std::string_view, 10> kParts = {
      "cve", "sig", "attack", "threat", "vuln", "rule", "message", "reference", "alert", "msg"};
  const std::string name = ToLower(field);
  return std::ranges::any_of(
      kParts, [&name](std::string_view part) { return name.find(part) != std::string::npos; });
}

class VulnerabilityProbe final : public HuntProbe {
 public:
  // Passes: events that name it, events of the rules, events that name the product.
  struct Passes {
    std::vector<std::string> filters;
    std::optional<size_t> rules;
    std::optional<size_t> products;
  };

  VulnerabilityProbe(std::string_view tenant, std::string cve, std::vector<ParsedRule> rules,
                     std::vector<Product> products, Passes passes)
      : HuntProbe(passes.filters),
        cve_(std::move(cve)),
        products_(std::move(products)),
        passes_(std::move(passes)),
        engine_(tenant, std::move(rules)) {}

  absl::Status Look(size_t pass, const Events& events, HuntResult& result) override {
    if (pass == passes_.products) return LookForProducts(events, result);
    if (pass == passes_.rules) return LookWithRules(events, result);
    for (const auto& event : events) {
      std::string field;
      if (!Names(event, &field)) continue;
      AddAttempt(event, result);
      AddMatch(event.signature().empty() ? cve_ : event.signature(), v1::NAMED_VULNERABILITY, event,
               result);
      v1::Evidence evidence = EvidenceOf(event);
      AddField(*evidence.mutable_matched_fields(), field, cve_, kMaxFieldValue);
      AddEvidence(std::move(evidence), result);
    }
    return absl::OkStatus();
  }

 private:
  bool Names(const event::v1::Event& event, std::string* field = nullptr) const {
    const auto told = [field](std::string_view name) {
      if (field != nullptr) *field = name;
      return true;
    };
    if (HasCve(event.signature())) return told("signature");
    if (HasCve(event.message())) return told("message");
    for (const auto& one : event.fields()) {
      if (NamesAttacks(one.name()) && HasCve(one.value())) return told(one.name());
    }
    return false;
  }
  bool HasCve(std::string_view text) const {
    const auto cves = CvesIn(text);
    return std::ranges::find(cves, cve_) != cves.end();
  }

  absl::Status LookWithRules(const Events& events, HuntResult& result) {
    return engine_.Run(events, [&](const Engine::Batch& batch) {
      return CountMatches(
          engine_, events, batch, [this](const auto& event) { return Names(event); }, result);
    });
  }

  absl::Status LookForProducts(const Events& events, HuntResult& result) {
    return engine_.Run(events, [&](const Engine::Batch& batch) -> absl::Status {
      std::vector<bool> by_rule(batch.reader.size());
      for (const Match& match : batch.matches) by_rule[match.row] = true;
      for (size_t row = 0; row < by_rule.size(); ++row) {
        const auto& event = events.Get(batch.first + static_cast<int>(row));
        const bool is_like = std::ranges::any_of(products_, [&event](const Product& product) {
          return MatchSignature(product, event.signature()) >= Likeness::kAlike;
        });
        if (!is_like || by_rule[row] || Names(event)) continue;
        AddRelated(event, result);
        AddMatch(event.signature(), v1::NAMED_PRODUCT, event, result);
      }
      return absl::OkStatus();
    });
  }

  const std::string cve_;
  const std::vector<Product> products_;
  const Passes passes_;
  Engine engine_;
};

}  // namespace

std::unique_ptr<HuntProbe> NewRuleProbe(std::string_view tenant, ParsedRule rule,
                                        const Windows::Limits& limits) {
  if (rule.correlations.empty()) return std::make_unique<SingleRuleProbe>(tenant, std::move(rule));
  return std::make_unique<CorrelationProbe>(tenant, std::move(rule), limits);
}

std::unique_ptr<HuntProbe> NewIndicatorProbe(std::vector<Indicator> indicators) {
  return std::make_unique<IndicatorProbe>(IndicatorMatcher(std::move(indicators)));
}

std::unique_ptr<HuntProbe> NewVulnerabilityProbe(std::string_view tenant, const std::string& cve,
                                                 std::vector<ParsedRule> rules,
                                                 const std::vector<WantedProduct>& products) {
  // "2021-44228" is in "CVE-2021-44228", with what else may stand between in logs.
  std::vector<std::string> spellings;
  for (const std::string_view separator : {"-", "_", "."}) {
    std::string spelling = cve.substr(4);
    spelling.replace(4, 1, separator);
    spellings.push_back(QuoteFilterText(spelling));
    spellings.push_back(fmt::format("signature:{}", spellings.back()));
  }
  VulnerabilityProbe::Passes passes;
  passes.filters.push_back(Join(spellings, " OR "));
  std::vector<SingleRule> singles;
  for (const auto& rule : rules) {
    singles.insert(singles.end(), rule.rules.begin(), rule.rules.end());
  }
  if (!singles.empty()) {
    passes.rules = passes.filters.size();
    passes.filters.push_back(LogsourceFilter(singles));
  }
  std::vector<Product> wanted;
  std::vector<std::string> named;
  for (const auto& product : products) {
    for (const auto one : Split(product.name, ',')) {
      Product part{WordsOf(product.vendor), WordsOf(one), std::string(Trim(one))};
      std::vector<std::string> words;
      for (const auto& word : part.name) {
        words.push_back(fmt::format("signature:{}", QuoteFilterText(word)));
      }
      const bool names_none = std::ranges::find(part.name, "multiple") != part.name.end();
      if (words.empty() || names_none || named.size() == 16) continue;  // "Multiple Products"
      wanted.push_back(std::move(part));
      named.push_back("(" + Join(words, " AND ") + ")");
    }
  }
  if (!named.empty()) {
    passes.products = passes.filters.size();
    passes.filters.push_back(Join(named, " OR "));
  }
  return std::make_unique<VulnerabilityProbe>(tenant, cve, std::move(rules), std::move(wanted),
                                              std::move(passes));
}

}  // namespace yagura::detection
