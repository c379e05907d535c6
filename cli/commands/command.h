#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "CLI/CLI.hpp"
#include "cli/client.h"
#include "cli/render.h"
#include "google/protobuf/message.h"

#include "common/status/status.h"

// What the commands share: options of every command, and the few shapes that they come in. Requests
// are filled by field name, as AIPs give the same fields the same names everywhere.
namespace yagura::cli {

// Options that stand before or behind any command.
struct Globals {
  ConnectionOptions connection;
  std::optional<std::string> api_key_file;
  std::string output = "table";  // table, json, jsonl
};

// --endpoint, --api-key-file, --data-dir, --ca-file, --output.
void AddGlobalOptions(CLI::App& app, Globals& globals);

// The program: its globals, and the outcome of the command that ran.
class Program {
 public:
  Program(CLI::App& app, Globals& globals) : app_(app), globals_(globals) {}

  CLI::App& app() { return app_; }
  const Globals& globals() const { return globals_; }
  Format format() const;
  // A group of commands, `yagura ticket ...`; made where there is none of the name yet.
  CLI::App& Group(const std::string& name, const std::string& help);
  // What `command` does, without a connection; its status is the program's.
  void Do(CLI::App& command, std::function<absl::Status()> action);
  // The same with a connected client.
  void DoConnected(CLI::App& command, std::function<absl::Status(Client&)> action);
  // One or the other, by what the options say when they have been read.
  void DoEither(CLI::App& command, std::function<bool()> connected,
                std::function<absl::Status(Client&)> with_client,
                std::function<absl::Status()> without_client);
  // Prints one message in the chosen format: all its fields (MessageToText), or JSON.
  void Print(const google::protobuf::Message& message) const;

  const absl::Status& status() const { return status_; }

 private:
  absl::Status Connected(const std::function<absl::Status(Client&)>& action) const;

  CLI::App& app_;
  Globals& globals_;
  absl::Status status_;
};

// Writes to standard output. Ends the process where that fails: quietly with 0 where its reader has
// gone (yagura event search | head), else with 1 and the reason on standard error, as where the
// disk is full.
void Write(std::string_view text);

// "tickets", "01j..." -> "tenants/{tenant}/tickets/01j..."; what holds a slash already is a name.
std::string ResourceName(std::string_view tenant, std::string_view collection, std::string_view id);
// "acme" or "tenants/acme" -> "tenants/acme"; "" and "-" -> "tenants/-".
std::string TenantParent(std::string_view tenant);

// Sets a string or integer field where the message has one of that name.
void SetField(google::protobuf::Message& message, std::string_view field, const std::string& value);
void SetField(google::protobuf::Message& message, std::string_view field, int value);
// A fresh request_id where the message has such a field: a retry cannot do the thing twice.
void SetRequestId(google::protobuf::Message& message);

// What a list was asked for on the command line.
struct ListOptions {
  std::string parent;
  std::string filter;
  std::string order_by;
  int limit = 100;
};
// --filter, --order-by, --limit.
void AddListOptions(CLI::App& command, ListOptions& options);

// One page: fills the request, calls, gives the response or the error.
using PageCall = std::function<absl::StatusOr<std::unique_ptr<google::protobuf::Message>>(
    const std::function<void(google::protobuf::Message&)>& fill)>;
// Reads pages until `limit` items are printed. The items are the response's repeated field.
absl::Status PrintPages(const ListOptions& options, Format format, std::vector<TableColumn> columns,
                        const PageCall& call);

template <typename Stub, typename Request, typename Response>
absl::Status PrintList(Client& client, const ListOptions& options, Format format,
                       std::vector<TableColumn> columns,
                       grpc::Status (Stub::*method)(grpc::ClientContext*, const Request&,
                                                    Response*)) {
  return PrintPages(options, format, std::move(columns),
                    [&](const std::function<void(google::protobuf::Message&)>& fill)
                        -> absl::StatusOr<std::unique_ptr<google::protobuf::Message>> {
                      Request request;
                      fill(request);
                      YAGURA_ASSIGN_OR_RETURN(auto response, client.Call(method, request));
                      return std::make_unique<Response>(std::move(response));
                    });
}

// `group list [--tenant T] [--filter F] ...` over tenants/T, or all tenants without one.
template <typename Stub, typename Request, typename Response>
void AddList(Program& program, CLI::App& group, const std::string& help,
             std::vector<TableColumn> columns,
             grpc::Status (Stub::*method)(grpc::ClientContext*, const Request&, Response*)) {
  struct Options {
    ListOptions list;
    std::string tenant;
  };
  auto options = std::make_shared<Options>();
  CLI::App& command = *group.add_subcommand("list", help);
  command.add_option("--tenant", options->tenant, "Tenant id; without it all that you may see");
  AddListOptions(command, options->list);
  program.DoConnected(command, [&program, options, columns, method](Client& client) {
    options->list.parent = TenantParent(options->tenant);
    return PrintList(client, options->list, program.format(), columns, method);
  });
}

// A command about one resource: its name, or its id with --tenant; and text options that go into
// request fields of the same name.
struct TextOption {
  std::string field;  // "comment": option --comment
  std::string help;
  bool required = false;
};
struct NamedOptions {
  std::string resource;
  std::string tenant;
  std::string etag;
  std::vector<std::string> texts;
};
std::shared_ptr<NamedOptions> AddNamedOptions(CLI::App& command, std::string_view collection,
                                              const std::vector<TextOption>& texts, bool changes);
// INVALID_ARGUMENT where neither a full name nor a tenant is given.
absl::Status FillNamed(google::protobuf::Message& request, const NamedOptions& options,
                       std::string_view collection, const std::vector<TextOption>& texts);

// `group verb NAME [--comment ...]` for Get and for the verbs that move a resource from state to
// state.
template <typename Stub, typename Request, typename Response>
void AddNamed(Program& program, CLI::App& group, const std::string& verb, const std::string& help,
              std::string collection, std::vector<TextOption> texts,
              grpc::Status (Stub::*method)(grpc::ClientContext*, const Request&, Response*)) {
  CLI::App& command = *group.add_subcommand(verb, help);
  auto options = AddNamedOptions(command, collection, texts, verb != "get");
  program.DoConnected(command, [=, &program](Client& client) -> absl::Status {
    Request request;
    YAGURA_RETURN_IF_ERROR(FillNamed(request, *options, collection, texts));
    YAGURA_ASSIGN_OR_RETURN(const auto response, client.Call(method, request));
    program.Print(response);
    return absl::OkStatus();
  });
}

// The whole of a file, "-" is standard input; at most `max_bytes`.
absl::StatusOr<std::string> ReadInput(const std::string& path, size_t max_bytes);
// The same of a file that goes into a text field: INVALID_ARGUMENT (FILE_NOT_UTF8) names the line.
absl::StatusOr<std::string> ReadText(const std::string& path, size_t max_bytes);

// Each area's commands, in the file of its name.
void AddEventCommands(Program& program);
void AddFlowCommands(Program& program);
void AddArchiveCommands(Program& program);
void AddInvestigateCommands(Program& program);  // investigate, trace
void AddDetectionCommands(Program& program);    // finding, rule
void AddRuleImport(Program& program);           // rule import
void AddRuleTest(Program& program);             // rule test
void AddTuningCommands(Program& program);       // placeholder, tuning
void AddHuntCommands(Program& program);
void AddObserveCommands(Program& program);
void AddRuleCoverage(Program& program, CLI::App& group);  // rule coverage
void AddNotificationCommands(Program& program);           // alert, contact, route, delivery
void AddTicketCommands(Program& program);
void AddConfigCommands(Program& program);  // device, credential, change
void AddReportCommands(Program& program);
// tenant, site, user, key, asset, source. `parsers`: the names of those that a source may have,
// none where they are not known.
void AddDirectoryCommands(Program& program, std::function<std::vector<std::string>()> parsers);
void AddAuditCommands(Program& program);
void AddCoverageCommands(Program& program);
void AddSendCommand(Program& program);
void AddParseCommand(Program& program);
void AddDetectCommand(Program& program);
void AddRelayCommand(Program& program);
void AddUpCommand(Program& program);  // up, down
void AddDemoCommand(Program& program);
void AddBackupCommands(Program& program);  // backup, restore

}  // namespace yagura::cli
