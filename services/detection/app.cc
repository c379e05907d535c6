#include "services/detection/app.h"

#include <algorithm>

#include "common/redis/pool.h"
#include "common/status/status.h"
#include "common/store/projection.h"
#include "common/store/store.h"
#include "common/stream/producer.h"
#include "common/stream/worker.h"
#include "services/detection/api/dead_letter_handlers.h"
#include "services/detection/api/finding_handlers.h"
#include "services/detection/api/hunt_handlers.h"
#include "services/detection/api/observation_handlers.h"
#include "services/detection/api/rule_coverage_handlers.h"
#include "services/detection/api/rule_handlers.h"
#include "services/detection/api/rule_state_handlers.h"
#include "services/detection/api/tuning_handlers.h"
#include "services/detection/domain/rule_resource.h"
#include "services/detection/domain/rule_state.h"
#include "services/detection/domain/tags.h"
#include "services/detection/storage/content_advice.h"
#include "services/detection/storage/content_rules.h"
#include "services/detection/storage/finding_sink.h"
#include "services/detection/storage/hunt_store.h"
#include "services/detection/storage/kinds.h"
#include "services/detection/storage/rule_set_store.h"
#include "services/detection/storage/source_watch_store.h"
#include "services/detection/storage/watermark_store.h"
#include "services/detection/storage/window_store.h"
#include "services/detection/workers/dead_letter_teller.h"
#include "services/detection/workers/hunt_archive_client.h"
#include "services/detection/workers/hunt_worker.h"
#include "services/detection/workers/log_look_client.h"
#include "services/detection/workers/match_worker.h"
#include "services/detection/workers/observation_reader.h"
#include "services/detection/workers/observation_worker.h"
#include "services/detection/workers/rule_book.h"
#include "services/detection/workers/rule_version_keeper.h"
#include "services/detection/workers/source_worker.h"
#include "services/detection/workers/surroundings_reader.h"
#include "services/detection/workers/window_worker.h"

namespace yagura::detection {
namespace {

constexpr std::string_view kMatchReader = "detection";
constexpr std::string_view kWindowReader = "detection-windows";
constexpr std::chrono::seconds kTrimInterval{5};
// With each batch of hits every group that it touched is written whole. Under load a busy group is
// in nearly every batch: the more hits a step takes, the less is written.
constexpr size_t kWindowEntries = 1024;

// Without a budget: who drains the streams must write its hits and findings most of all while they
// are full, or nothing could ever be trimmed again.
stream::Producer::Options ProducerOptions() {
  stream::Producer::Options options;
  options.memory_budget_bytes = 0;
  return options;
}

// Texts of the rules in force that are tagged with a CVE: the provider's, then the tenant's own.
absl::StatusOr<std::vector<std::string>> RulesAbout(const store::Store<v1::Rule>& rules,
                                                    const std::string& tenant,
                                                    const std::string& cve) {
  std::vector<std::string> texts;
  const auto take = [&](const v1::Rule& rule) {
    const bool is_about = std::ranges::any_of(
        rule.tags(), [&cve](const std::string& tag) { return CveOf(tag) == cve; });
    if (is_about && IsMatched(StateOf(rule))) texts.push_back(rule.text());
    return absl::OkStatus();
  };
  const auto pass_over = [](const std::string&) {};  // the rule book tells
  YAGURA_RETURN_IF_ERROR(rules.ForEach(kProviderTenant, take, pass_over));
  if (tenant != kProviderTenant) YAGURA_RETURN_IF_ERROR(rules.ForEach(tenant, take, pass_over));
  return texts;
}

class DetectionApp final : public rpc::App {
 public:
  DetectionApp(const rpc::Platform& platform, Settings settings)
      : platform_(platform),
        settings_(std::move(settings)),
        logger_(platform.logger.Named("detection")),
        findings_(platform.state, FindingKind(), platform.clock),
        rules_(platform.state, RuleResourceKind(), platform.clock),
        rule_book_(std::make_shared<RuleBook>(
            rules_, platform.state,
            std::make_shared<RuleSetStore>(platform.flow, settings_.events,
                                           std::string(kMatchReader)),
            *platform.metrics, logger_)),
        hits_topic_(
            std::make_shared<stream::Producer>(platform.flow, settings_.hits, ProducerOptions())),
        findings_topic_(std::make_shared<stream::Producer>(platform.flow, settings_.findings,
                                                           ProducerOptions())),
        surroundings_(std::make_shared<Surroundings>(LoadAdvice(settings_.advice_folder, logger_))),
        surroundings_reader_(std::make_shared<SurroundingsReader>(
            SurroundingsReader::Options{.kev_file = settings_.kev_file,
                                        .on_read = [this] { JudgeAgain(); }},
            platform.channels, surroundings_, logger_)),
        sink_(std::make_shared<FindingSink>(
            findings_, findings_topic_,
            FindingSink::Steps{
                [about = surroundings_](v1::Finding& finding) { return about->Judge(finding); },
                [about = surroundings_](v1::Finding& finding) { about->Advise(finding, false); }},
            std::make_shared<UnjudgedFindings>(
                platform.state, platform.clock,
                UnjudgedFindings::Bounds{
                    .dropped = platform.metrics->GetCounter(
                        "yagura_detection_unjudged_dropped_total",
                        "Findings that are not judged again, as too many wait for it"),
                    .logger = logger_}))),
        match_(rule_book_, std::make_shared<WatermarkStore>(platform.flow), hits_topic_,
               settings_.fold, *platform.metrics),
        window_(std::make_shared<WindowStore>(platform.flow, settings_.hits,
                                              std::string(kWindowReader)),
                sink_,
                {.lateness = settings_.lateness,
                 .groups_per_rule = static_cast<size_t>(settings_.groups_per_rule),
                 .silence = settings_.silence,
                 .bytes = settings_.window_bytes / static_cast<size_t>(settings_.hits.shards)},
                *platform.metrics, WindowWorker::kStepBytes, logger_),
        match_worker_(
            platform.flow, settings_.events,
            Options(kMatchReader, settings_.match_threads,
                    [this](const auto& context, const auto& entry) {
                      return match_.Split(context, entry);
                    }),
            [this](const auto& context, const auto& entries) {
              return match_.Handle(context, entries);
            },
            nullptr, logger_),
        window_worker_(
            platform.flow, settings_.hits,
            Options(
                kWindowReader, settings_.window_threads,
                [this](const auto& context, const auto& entry) {
                  return window_.Split(context, entry);
                },
                {}, kWindowEntries),
            [this](const auto& context, const auto& entries) {
              return window_.Handle(context, entries);
            },
            nullptr, logger_),
        source_(std::make_shared<SourceWatchStore>(platform.flow, settings_.coverage,
                                                   std::string(kMatchReader)),
                sink_, settings_.sources),
        source_worker_(
            platform.flow, settings_.coverage, Options(kMatchReader, 1, nullptr, "coverage"),
            [this](const auto& context, const auto& entries) {
              return source_.Handle(context, entries);
            },
            nullptr, logger_),
        teller_(platform.flow, platform.state,
                {settings_.events, settings_.hits, settings_.findings, settings_.coverage}, sink_,
                *platform.metrics, logger_),
        observation_(
            {platform.state, std::make_shared<ObservationReader>(platform.channels), sink_,
             store::Store<v1::ObservationPolicy>(platform.state, ObservationPolicyKind(),
                                                 platform.clock),
             store::Store<v1::Placeholder>(platform.state, PlaceholderKind(), platform.clock),
             platform.clock, logger_.Named("observation")},
            {.lateness = settings_.observation_lateness,
             .catch_up = settings_.observation_catch_up,
             .settle = settings_.observation_lateness,
             .instance = platform.instance}),
        trimmer_(platform.flow, {settings_.hits, settings_.findings}, kTrimInterval, logger_),
        hunt_store_(std::make_shared<HuntStore>(platform.state, platform.clock)),
        hunt_worker_(std::make_shared<HuntWorker>(
            HuntWorker::Parts{.state = platform.state,
                              .store = hunt_store_,
                              .archive = std::make_shared<HuntArchiveClient>(platform.channels),
                              .quarries = {.surroundings = surroundings_,
                                           .placeholders =
                                               [book = rule_book_](const auto& tenant) {
                                                 return book->PlaceholdersFor(tenant);
                                               },
                                           .rules_about =
                                               [this](const auto& tenant, const auto& cve) {
                                                 return RulesAbout(rules_, tenant, cve);
                                               },
                                           .logger = logger_},
                              .metrics = std::make_shared<HuntMetrics>(*platform.metrics),
                              .clock = platform.clock,
                              .logger = logger_,
                              .instance = platform.HolderOf("hunts")},
            HuntOptions(settings_))),
        hunt_gauges_(hunt_store_->hunts, platform.feed, *platform.metrics),
        dead_letter_handlers_(
            platform.flow, platform.state,
            {settings_.events, settings_.hits, settings_.findings, settings_.coverage}),
        finding_handlers_(findings_, platform.feed, surroundings_),
        hunt_handlers_({.state = platform.state,
                        .store = hunt_store_,
                        .feed = platform.feed,
                        .worker = hunt_worker_,
                        .rules = rules_,
                        .rule_book = rule_book_,
                        .surroundings = surroundings_,
                        .clock = platform.clock}),
        rule_coverage_handlers_(rules_, rule_book_,
                                std::make_shared<LogLookClient>(platform.channels), platform.clock),
        rule_versions_(
            store::Store<v1::RuleVersion>(platform.state, RuleVersionKind(), platform.clock)),
        rule_version_keeper_(
            platform.state, rule_versions_, rules_,
            {.keep = settings_.rule_texts_keep, .instance = platform.HolderOf("rule-versions")},
            platform.clock, logger_),
        rule_handlers_(rules_, rule_versions_, platform.feed, rule_book_, platform.clock),
        tuning_handlers_(
            store::Store<v1::Placeholder>(platform.state, PlaceholderKind(), platform.clock),
            store::Store<v1::RuleTuning>(platform.state, RuleTuningKind(), platform.clock), rules_,
            platform.feed, rule_book_),
        rule_state_handlers_(
            rules_, store::Store<v1::RuleTuning>(platform.state, RuleTuningKind(), platform.clock),
            rule_book_, platform.clock),
        observation_handlers_(
            store::Store<v1::ObservationPolicy>(platform.state, ObservationPolicyKind(),
                                                platform.clock),
            [channels = platform.channels](const rpc::Call& call) {
              return std::make_unique<const ObservationReader>(channels, call);
            },
            platform.clock) {}

  ~DetectionApp() override { Stop(); }

  std::string_view name() const override { return "detection"; }

  void Register(rpc::ServiceRegistry& registry) override {
    dead_letter_handlers_.Register(registry);
    finding_handlers_.Register(registry);
    hunt_handlers_.Register(registry);
    rule_coverage_handlers_.Register(registry);
    rule_handlers_.Register(registry);
    tuning_handlers_.Register(registry);
    rule_state_handlers_.Register(registry);
    observation_handlers_.Register(registry);
  }

  absl::Status Start() override {
    for (const auto& topic :
         {settings_.events, settings_.hits, settings_.findings, settings_.coverage}) {
      YAGURA_RETURN_IF_ERROR(stream::DeclareReaders(*platform_.flow, topic));
    }
    YAGURA_RETURN_IF_ERROR(store::RegisterTenant(*platform_.state, kProviderTenant));
    YAGURA_ASSIGN_OR_RETURN(const int loaded, LoadContentRules(settings_.content_folder, rules_,
                                                               rule_versions_, logger_));
    logger_.Info("content rules", {{"loaded", loaded}});
    YAGURA_RETURN_IF_ERROR(rule_book_->Reload());
    platform_.feed->Subscribe(rule_book_);
    rule_book_->Start();
    platform_.feed->Subscribe(surroundings_reader_);
    surroundings_reader_->Start();
    window_worker_.Start();
    match_worker_.Start();
    source_worker_.Start();
    teller_.Start();
    observation_.Start();
    trimmer_.Start();
    hunt_worker_->Start();
    rule_version_keeper_.Start();
    hunt_gauges_.Start();
    return absl::OkStatus();
  }

  void Stop() override {
    hunt_gauges_.Stop();
    hunt_worker_->Stop();
    rule_version_keeper_.Stop();
    match_worker_.Stop();
    window_worker_.Stop();
    source_worker_.Stop();
    teller_.Stop();
    observation_.Stop();
    trimmer_.Stop();
    surroundings_reader_->Stop();
    rule_book_->Stop();
  }

 private:
  // What came while assets were not known yet.
  void JudgeAgain() {
    const absl::Status status = sink_->JudgeAgain();
    if (!status.ok()) {
      logger_.Warning("findings wait to be judged again", {{"reason", Message(status)}});
    }
  }

  static HuntWorker::Options HuntOptions(const Settings& settings) {
    HuntWorker::Options options;
    options.threads = settings.hunt_threads;
    options.keep = settings.hunt_keep;
    options.windows = {.lateness = settings.lateness,
                       .groups_per_rule = static_cast<size_t>(settings.groups_per_rule),
                       .silence = settings.silence,
                       .bytes = settings.window_bytes / 4};
    options.run.most_events = settings.hunt_events;
    return options;
  }

  // `part`: what holds the leases, where a reader has several topics.
  stream::Worker::Options Options(std::string_view reader, int threads,
                                  stream::Worker::Splitter split, std::string_view part = {},
                                  size_t entries = 0) const {
    stream::Worker::Options options;
    if (entries > 0) options.max_entries = entries;
    options.reader = std::string(reader);
    options.holder = platform_.HolderOf(part.empty() ? reader : part);
    options.lease = settings_.lease;
    options.threads = threads;
    options.split = std::move(split);
    return options;
  }

  const rpc::Platform platform_;
  const Settings settings_;
  const Logger logger_;
  store::Store<v1::Finding> findings_;
  store::Store<v1::Rule> rules_;
  const std::shared_ptr<RuleBook> rule_book_;
  const std::shared_ptr<stream::Producer> hits_topic_;
  const std::shared_ptr<stream::Producer> findings_topic_;
  const std::shared_ptr<Surroundings> surroundings_;
  const std::shared_ptr<SurroundingsReader> surroundings_reader_;
  const std::shared_ptr<FindingSink> sink_;
  MatchWorker match_;
  WindowWorker window_;
  stream::Worker match_worker_;
  stream::Worker window_worker_;
  SourceWorker source_;
  stream::Worker source_worker_;
  DeadLetterTeller teller_;
  ObservationWorker observation_;
  stream::Trimmer trimmer_;
  const std::shared_ptr<HuntStore> hunt_store_;
  const std::shared_ptr<HuntWorker> hunt_worker_;
  HuntGauges hunt_gauges_;
  DeadLetterHandlers dead_letter_handlers_;
  FindingHandlers finding_handlers_;
  HuntHandlers hunt_handlers_;
  RuleCoverageHandlers rule_coverage_handlers_;
  const RuleVersions rule_versions_;
  RuleVersionKeeper rule_version_keeper_;
  RuleHandlers rule_handlers_;
  TuningHandlers tuning_handlers_;
  RuleStateHandlers rule_state_handlers_;
  ObservationHandlers observation_handlers_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<rpc::App>> NewApp(const Settings& settings,
                                                 const rpc::Platform& platform) {
  return std::make_unique<DetectionApp>(platform, settings);
}

}  // namespace yagura::detection
