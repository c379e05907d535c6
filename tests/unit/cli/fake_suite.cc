#include "tests/unit/cli/fake_suite.h"

#include <algorithm>

#include "cli/usage.h"
#include "fmt/format.h"
#include "grpcpp/security/server_credentials.h"
#include "grpcpp/server_builder.h"
#include "gtest/gtest.h"

#include "common/clock/proto_time.h"
#include "common/text/text.h"

namespace yagura::cli {

struct FakeSuite::Directory : directory::v1::DirectoryService::Service {
  explicit Directory(FakeSuite& suite) : suite_(suite) {}
  grpc::Status ExchangeApiKey(grpc::ServerContext*,
                              const directory::v1::ExchangeApiKeyRequest* request,
                              directory::v1::TokenResponse* response) override {
    suite_.secrets.push_back(request->secret());
    response->set_token("token");
    *response->mutable_expire_time() = ToProto(SystemClock()->Now() + std::chrono::hours(1));
    return grpc::Status::OK;
  }
  grpc::Status WhoAmI(grpc::ServerContext*, const directory::v1::WhoAmIRequest*,
                      directory::v1::WhoAmIResponse*) override {
    return grpc::Status::OK;
  }
  grpc::Status UpdateApiKey(grpc::ServerContext*, const directory::v1::UpdateApiKeyRequest* request,
                            directory::v1::ApiKey* response) override {
    suite_.key_update = *request;
    *response = request->api_key();
    return grpc::Status::OK;
  }
  grpc::Status CreateSource(grpc::ServerContext*, const directory::v1::CreateSourceRequest* request,
                            directory::v1::Source* response) override {
    suite_.source_create = *request;
    *response = request->source();
    return grpc::Status::OK;
  }
  grpc::Status UpdateSource(grpc::ServerContext*, const directory::v1::UpdateSourceRequest* request,
                            directory::v1::Source* response) override {
    suite_.source_update = *request;
    *response = request->source();
    return grpc::Status::OK;
  }
  grpc::Status ListSources(grpc::ServerContext*, const directory::v1::ListSourcesRequest* request,
                           directory::v1::ListSourcesResponse* response) override {
    for (const auto& source : suite_.sources) {
      if (request->parent() == "tenants/-" || source.name().starts_with(request->parent() + "/")) {
        *response->add_sources() = source;
      }
    }
    return grpc::Status::OK;
  }
  grpc::Status CreateUser(grpc::ServerContext*, const directory::v1::CreateUserRequest* request,
                          directory::v1::User* response) override {
    suite_.added_users.push_back(request->user_id());
    *response = request->user();
    response->set_name(request->parent() + "/users/" + request->user_id());
    return grpc::Status::OK;
  }
  grpc::Status SetPassword(grpc::ServerContext*, const directory::v1::SetPasswordRequest* request,
                           directory::v1::SetPasswordResponse*) override {
    suite_.passwords.push_back(*request);
    return suite_.password_answer;
  }
  grpc::Status RotateApiKey(grpc::ServerContext*, const directory::v1::RotateApiKeyRequest* request,
                            directory::v1::RotateApiKeyResponse* response) override {
    response->set_secret(fmt::format("secret-{}", ++suite_.rotations));
    response->mutable_api_key()->set_name(request->name());
    return grpc::Status::OK;
  }
  grpc::Status ListApiKeys(grpc::ServerContext*, const directory::v1::ListApiKeysRequest*,
                           directory::v1::ListApiKeysResponse* response) override {
    for (const auto& key : suite_.api_keys) *response->add_api_keys() = key;
    return grpc::Status::OK;
  }
  grpc::Status ImportAssets(grpc::ServerContext*, const directory::v1::ImportAssetsRequest*,
                            directory::v1::ImportAssetsResponse* response) override {
    *response = suite_.asset_import_answer;
    return grpc::Status::OK;
  }
  FakeSuite& suite_;
};

struct FakeSuite::Archive : archive::v1::ArchiveService::Service {
  explicit Archive(FakeSuite& suite) : suite_(suite) {}
  grpc::Status SearchEvents(
      grpc::ServerContext*, const archive::v1::SearchEventsRequest* request,
      grpc::ServerWriter<archive::v1::SearchEventsResponse>* writer) override {
    constexpr size_t kAtOnce = 1000;
    ++suite_.searches;
    size_t next = ParseNumber<size_t>(request->page_token()).value_or(0);
    const size_t end = std::min(suite_.events, next + static_cast<size_t>(request->page_size()));
    while (next < end) {
      archive::v1::SearchEventsResponse response;
      for (const size_t stop = std::min(end, next + kAtOnce); next < stop; ++next) {
        response.add_events()->set_id(fmt::to_string(next));
      }
      if (next == end && end < suite_.events) response.set_next_page_token(fmt::to_string(end));
      writer->Write(response);
    }
    archive::v1::SearchEventsResponse last;
    Tell(last);
    if (last.has_coverage()) writer->Write(last);
    return grpc::Status::OK;
  }
  grpc::Status ExportEvents(
      grpc::ServerContext*, const archive::v1::ExportEventsRequest* request,
      grpc::ServerWriter<archive::v1::SearchEventsResponse>* writer) override {
    suite_.exports.push_back(*request);
    const size_t from = ParseNumber<size_t>(request->page_token()).value_or(0);
    for (size_t i = from; i < suite_.stored.size(); ++i) {  // one a call
      archive::v1::SearchEventsResponse response;
      *response.add_events() = suite_.stored[i];
      if (i + 1 < suite_.stored.size()) response.set_next_page_token(fmt::to_string(i + 1));
      writer->Write(response);
      return grpc::Status::OK;
    }
    for (size_t i = ParseNumber<size_t>(request->page_token()).value_or(0); i < suite_.events;
         ++i) {
      archive::v1::SearchEventsResponse response;
      auto* event = response.add_events();
      event->set_id(fmt::to_string(i));
      event->set_raw(std::string(suite_.event_bytes, 'x'));
      if (i + 1 < suite_.events) response.set_next_page_token(fmt::to_string(i + 1));
      writer->Write(response);
      if (!suite_.export_answer.ok()) return suite_.export_answer;
    }
    return suite_.export_answer;
  }
  grpc::Status CountEvents(grpc::ServerContext*, const archive::v1::CountEventsRequest*,
                           archive::v1::CountEventsResponse* response) override {
    response->set_total(suite_.events);
    Tell(*response);
    return grpc::Status::OK;
  }
  grpc::Status GetHistogram(grpc::ServerContext*, const archive::v1::GetHistogramRequest*,
                            archive::v1::GetHistogramResponse* response) override {
    Tell(*response);
    return grpc::Status::OK;
  }
  template <typename Response>
  void Tell(Response& response) {
    if (suite_.coverage.empty()) return;
    *response.mutable_coverage() = suite_.coverage.front();
    if (suite_.coverage.size() > 1) suite_.coverage.erase(suite_.coverage.begin());
  }
  grpc::Status AggregateEvents(grpc::ServerContext* context,
                               const archive::v1::AggregateEventsRequest* request,
                               archive::v1::AggregateEventsResponse* response) override {
    suite_.aggregate_time_left = context->deadline() - std::chrono::system_clock::now();
    suite_.aggregate = *request;
    *response = suite_.aggregate_answer;
    Tell(*response);
    return grpc::Status::OK;
  }
  FakeSuite& suite_;
};

struct FakeSuite::Proof : archive::v1::ProofService::Service {
  explicit Proof(FakeSuite& suite) : suite_(suite) {}
  grpc::Status VerifyEvents(
      grpc::ServerContext*, const archive::v1::VerifyEventsRequest*,
      grpc::ServerWriter<archive::v1::VerifyEventsResponse>* writer) override {
    for (const auto& proof : suite_.proofs) {
      archive::v1::VerifyEventsResponse response;
      *response.mutable_proof() = proof;
      response.set_done(true);
      writer->Write(response);
    }
    return grpc::Status::OK;
  }
  FakeSuite& suite_;
};

struct FakeSuite::Audit : audit::v1::AuditService::Service {
  explicit Audit(FakeSuite& suite) : suite_(suite) {}
  grpc::Status ListRecords(grpc::ServerContext*, const audit::v1::ListRecordsRequest* request,
                           audit::v1::ListRecordsResponse*) override {
    suite_.audit_filter = request->filter();
    return grpc::Status::OK;
  }
  grpc::Status VerifyRecords(grpc::ServerContext*, const audit::v1::VerifyRecordsRequest*,
                             grpc::ServerWriter<audit::v1::VerifyRecordsResponse>*) override {
    return suite_.verify_answer;
  }
  grpc::Status ListSealingKeys(grpc::ServerContext*, const audit::v1::ListSealingKeysRequest*,
                               audit::v1::ListSealingKeysResponse* response) override {
    for (const auto& key : suite_.sealing_keys) *response->add_keys() = key;
    return grpc::Status::OK;
  }
  FakeSuite& suite_;
};

// Nothing was told of.
struct FakeSuite::Coverage : coverage::v1::CoverageService::Service {
  grpc::Status ListCoverage(grpc::ServerContext*, const coverage::v1::ListCoverageRequest*,
                            coverage::v1::ListCoverageResponse*) override {
    return grpc::Status::OK;
  }
};

struct FakeSuite::Detection : detection::v1::DetectionService::Service {
  explicit Detection(FakeSuite& suite) : suite_(suite) {}
  grpc::Status ImportRules(grpc::ServerContext*, const detection::v1::ImportRulesRequest* request,
                           detection::v1::ImportRulesResponse* response) override {
    if (suite_.import_reasons.size() >= suite_.most_imports) {
      return {grpc::StatusCode::INVALID_ARGUMENT, "no more"};
    }
    suite_.import_reasons.push_back(request->reason());
    for (const auto& rule : request->rules()) {
      suite_.imported.push_back(rule.source());
      auto& result = *response->add_results();
      result.set_source(rule.source());
      if (!suite_.imports_in) {
        result.set_reason("is no rule");
        response->set_refused(response->refused() + 1);
        continue;
      }
      if (!suite_.refused_text.empty() &&
          rule.text().find(suite_.refused_text) != std::string::npos) {
        result.set_reason("line 3: is not known");
        result.set_line(3);
        response->set_refused(response->refused() + 1);
        continue;
      }
      const size_t id = rule.text().find("id: ") + 4;
      result.set_rule(request->parent() + "/rules/" + rule.text().substr(id, 36));
      result.set_change(detection::v1::ImportResult::CHANGED);
      result.set_state(*suite_.imports_in);
      response->set_loaded(response->loaded() + 1);
    }
    return grpc::Status::OK;
  }
  grpc::Status TestRule(grpc::ServerContext*, const detection::v1::TestRuleRequest* request,
                        detection::v1::TestRuleResponse*) override {
    suite_.rule_test = *request;
    return grpc::Status::OK;
  }
  grpc::Status ListPlaceholders(grpc::ServerContext*,
                                const detection::v1::ListPlaceholdersRequest* request,
                                detection::v1::ListPlaceholdersResponse* response) override {
    for (const auto& one : suite_.placeholders) {
      if (IsBelow(request->parent(), one.name())) *response->add_placeholders() = one;
    }
    return grpc::Status::OK;
  }
  grpc::Status ListRules(grpc::ServerContext*, const detection::v1::ListRulesRequest* request,
                         detection::v1::ListRulesResponse* response) override {
    for (const auto& rule : suite_.rules) {
      if (IsBelow(request->parent(), rule.name())) *response->add_rules() = rule;
    }
    for (const auto& name : suite_.unreadable_rules) response->add_unreadable(name);
    return grpc::Status::OK;
  }
  grpc::Status GetRule(grpc::ServerContext*, const detection::v1::GetRuleRequest* request,
                       detection::v1::Rule* response) override {
    return Find(suite_.rules, request->name(), response);
  }
  grpc::Status ListRuleTunings(grpc::ServerContext*,
                               const detection::v1::ListRuleTuningsRequest* request,
                               detection::v1::ListRuleTuningsResponse* response) override {
    for (const auto& tuning : suite_.tunings) {
      if (IsBelow(request->parent(), tuning.name())) *response->add_rule_tunings() = tuning;
    }
    return grpc::Status::OK;
  }
  grpc::Status GetRuleTuning(grpc::ServerContext*,
                             const detection::v1::GetRuleTuningRequest* request,
                             detection::v1::RuleTuning* response) override {
    return Find(suite_.tunings, request->name(), response);
  }
  static bool IsBelow(std::string_view parent, std::string_view name) {
    return parent == "tenants/-" || name.starts_with(fmt::format("{}/", parent));
  }
  template <typename Message>
  static grpc::Status Find(const std::vector<Message>& all, std::string_view name,
                           Message* response) {
    const auto found =
        std::ranges::find_if(all, [&](const auto& one) { return one.name() == name; });
    if (found == all.end()) return {grpc::StatusCode::NOT_FOUND, "there is none"};
    *response = *found;
    return grpc::Status::OK;
  }
  FakeSuite& suite_;
};

struct FakeSuite::Ingestion : ingestion::v1::IngestionService::Service {
  explicit Ingestion(FakeSuite& suite) : suite_(suite) {}
  grpc::Status Push(grpc::ServerContext*,
                    grpc::ServerReaderWriter<ingestion::v1::PushResponse,
                                             ingestion::v1::PushRequest>* stream) override {
    if (!suite_.push_answer.ok()) return suite_.push_answer;
    for (ingestion::v1::PushRequest request; stream->Read(&request);) {
      suite_.batch_ids.push_back(request.batch_id());
      ingestion::v1::PushResponse response;
      response.set_batch_id(request.batch_id());
      response.mutable_status()->set_code(0);
      stream->Write(response);
    }
    return grpc::Status::OK;
  }
  grpc::Status ListQuarantinedSources(grpc::ServerContext*,
                                      const ingestion::v1::ListQuarantinedSourcesRequest* request,
                                      ingestion::v1::ListQuarantinedSourcesResponse*) override {
    suite_.quarantine_filter = request->filter();
    return grpc::Status::OK;
  }
  FakeSuite& suite_;
};

FakeSuite::FakeSuite()
    : directory_(std::make_unique<Directory>(*this)),
      archive_(std::make_unique<Archive>(*this)),
      proof_(std::make_unique<Proof>(*this)),
      audit_(std::make_unique<Audit>(*this)),
      coverage_(std::make_unique<Coverage>()),
      detection_(std::make_unique<Detection>(*this)),
      ingestion_(std::make_unique<Ingestion>(*this)) {
  int port = 0;
  grpc::ServerBuilder builder;
  builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(), &port);
  builder.RegisterService(directory_.get());
  builder.RegisterService(archive_.get());
  builder.RegisterService(proof_.get());
  builder.RegisterService(audit_.get());
  builder.RegisterService(coverage_.get());
  builder.RegisterService(detection_.get());
  builder.RegisterService(ingestion_.get());
  server_ = builder.BuildAndStart();
  endpoint_ = fmt::format("127.0.0.1:{}", port);
}

FakeSuite::~FakeSuite() { server_->Shutdown(std::chrono::system_clock::now()); }

Outcome RunLine(const std::vector<std::string>& line, const ConnectionOptions& connection) {
  CLI::App app;
  app.require_subcommand(1);
  app.fallthrough();
  Globals globals;
  globals.connection = connection;
  AddGlobalOptions(app, globals);
  Program program(app, globals);
  AddSendCommand(program);
  AddEventCommands(program);
  AddArchiveCommands(program);
  AddDetectionCommands(program);
  AddRuleImport(program);
  AddRuleTest(program);
  AddTuningCommands(program);
  AddDirectoryCommands(program, [] { return std::vector<std::string>{"auto", "fortigate"}; });
  AddAuditCommands(program);
  AddCoverageCommands(program);

  Outcome outcome;
  ::testing::internal::CaptureStdout();
  ::testing::internal::CaptureStderr();
  try {
    app.parse(std::vector<std::string>(line.rbegin(), line.rend()));  // CLI11 takes them so
  } catch (const CLI::ParseError& error) {
    outcome.usage = UnknownWord(app, error).value_or(error.what());
  }
  outcome.out = ::testing::internal::GetCapturedStdout();
  outcome.err = ::testing::internal::GetCapturedStderr();
  outcome.status = program.status();
  return outcome;
}

}  // namespace yagura::cli
