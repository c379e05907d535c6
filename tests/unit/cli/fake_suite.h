#pragma once

#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "cli/commands/command.h"
#include "grpcpp/server.h"

#include "yagura/archive/v1/archive_service.grpc.pb.h"
#include "yagura/archive/v1/proof_service.grpc.pb.h"
#include "yagura/audit/v1/audit_service.grpc.pb.h"
#include "yagura/coverage/v1/coverage_service.grpc.pb.h"
#include "yagura/detection/v1/detection_service.grpc.pb.h"
#include "yagura/directory/v1/directory_service.grpc.pb.h"
#include "yagura/ingestion/v1/ingestion_service.grpc.pb.h"

namespace yagura::cli {

// A server with just enough of the services for the commands that are tested, on a free port. Knows
// nothing of permissions; remembers what it was asked.
class FakeSuite {
 public:
  FakeSuite();
  ~FakeSuite();

  const std::string& endpoint() const { return endpoint_; }

  size_t events = 0;                                 // that there are to find, their ids from 0
  std::vector<directory::v1::ApiKey> api_keys;       // to list
  grpc::Status push_answer = grpc::Status::OK;       // not OK: ends each Push stream
  std::vector<std::string> secrets;                  // that were exchanged
  directory::v1::UpdateApiKeyRequest key_update;     // the latest
  directory::v1::CreateSourceRequest source_create;  // the latest
  directory::v1::UpdateSourceRequest source_update;  // likewise
  std::vector<directory::v1::Source> sources;        // to list
  std::vector<std::string> added_users;              // their ids
  std::vector<directory::v1::SetPasswordRequest> passwords;
  grpc::Status password_answer = grpc::Status::OK;
  int rotations = 0;                   // of keys; the secret is "secret-N"
  std::vector<std::string> batch_ids;  // that were pushed
  std::vector<std::string> imported;   // sources of rules
  // Their ids are what the texts consist of and each was there with this state; none: all are
  // refused.
  std::optional<detection::v1::RuleState> imports_in;
  std::vector<std::string> import_reasons;  // of each call
  size_t most_imports = SIZE_MAX;           // calls; what comes after is refused
  std::string refused_text;                 // rules that have it are refused, for their third lines
  detection::v1::TestRuleRequest rule_test;               // the latest
  std::vector<detection::v1::Placeholder> placeholders;   // to list by parent
  std::vector<event::v1::Event> stored;                   // exported in place of `events`
  std::vector<archive::v1::ExportEventsRequest> exports;  // that were asked for
  std::string quarantine_filter;                          // of the latest list
  std::string audit_filter;                               // likewise
  grpc::Status verify_answer = grpc::Status::OK;          // of the audit records
  std::vector<audit::v1::SealingKey> sealing_keys;
  std::vector<detection::v1::Rule> rules;          // to list by parent, and to get
  std::vector<std::string> unreadable_rules;       // names
  std::vector<detection::v1::RuleTuning> tunings;  // likewise
  directory::v1::ImportAssetsResponse asset_import_answer;
  // What searches, counts and exports tell: each the first that is left, the last again and again.
  std::vector<archive::v1::CoverageSummary> coverage;
  grpc::Status export_answer = grpc::Status::OK;  // not OK: ends an export after its first event
  size_t event_bytes = 10;                        // of a raw line that is exported
  int searches = 0;
  std::vector<archive::v1::DayProof> proofs;             // of the days that are verified
  archive::v1::AggregateEventsRequest aggregate;         // the latest
  std::chrono::duration<double> aggregate_time_left{0};  // of the latest, until its deadline
  archive::v1::AggregateEventsResponse aggregate_answer;

 private:
  struct Directory;
  struct Archive;
  struct Proof;
  struct Audit;
  struct Coverage;
  struct Detection;
  struct Ingestion;

  std::string endpoint_;
  std::unique_ptr<Directory> directory_;
  std::unique_ptr<Archive> archive_;
  std::unique_ptr<Proof> proof_;
  std::unique_ptr<Audit> audit_;
  std::unique_ptr<Coverage> coverage_;
  std::unique_ptr<Detection> detection_;
  std::unique_ptr<Ingestion> ingestion_;
  std::unique_ptr<grpc::Server> server_;
};

// What a command line came to.
struct Outcome {
  absl::Status status;
  std::string usage;  // the error where the line could not be parsed
  std::string out;    // standard output
  std::string err;    // standard error
};

// Runs the line with the client's commands, as the program does; `connection` is the default that
// options in the line replace.
Outcome RunLine(const std::vector<std::string>& line, const ConnectionOptions& connection = {});

}  // namespace yagura::cli
