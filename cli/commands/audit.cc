#include <unistd.h>

#include <iostream>
#include <memory>

#include "cli/commands/command.h"
#include "fmt/format.h"

#include "yagura/audit/v1/audit_service.grpc.pb.h"

namespace yagura::cli {
namespace {

using audit::v1::AuditService;
using audit::v1::VerifyRecordsRequest;
using audit::v1::VerifyRecordsResponse;

void ShowProgress(const VerifyRecordsResponse& progress) {
  if (isatty(STDERR_FILENO) == 0) return;
  std::cerr << fmt::format("\r{}: {} records verified", progress.tenant(),
                           progress.verified_records())
            << "\x1b[K\r" << std::flush;
}

// Fails where a chain is not whole, so that scripts notice.
absl::Status Verify(Client& client, const std::string& tenant, Format format) {
  VerifyRecordsRequest request;
  request.set_parent(TenantParent(tenant));
  Renderer renderer(format, {{"TENANT", "tenant"},
                             {"STATE", "state"},
                             {"VERIFIED", "verified_records"},
                             {"FROM", "first_sequence"},
                             {"TO", "head.sequence"},
                             {"UNSEALED", "unsealed_records"},
                             {"FLAW", "flaw"},
                             {"AT", "flawed_sequence"},
                             {"DETAIL", "detail", 100}});
  size_t broken = 0;
  const absl::Status read =
      client.ReadStream(&AuditService::Stub::VerifyRecords, request, /*endless=*/true,
                        [&](const VerifyRecordsResponse& response) {
                          ShowProgress(response);
                          if (response.state() == VerifyRecordsResponse::RUNNING) return true;
                          if (response.state() == VerifyRecordsResponse::BROKEN) ++broken;
                          renderer.Add(response);
                          return true;
                        });
  if (read.ok() || renderer.rows() > 0) Write(renderer.Finish());
  if (!read.ok() || broken == 0) return read;
  return MakeError(absl::StatusCode::kDataLoss, "AUDIT_BROKEN",
                   fmt::format("the audit records of {} are not as they were sealed",
                               broken == 1 ? "a tenant" : fmt::format("{} tenants", broken)));
}

// What changed, left, or was refused; what was looked at is much more, and mostly the same again.
std::string WithoutReads(const std::string& filter) {
  constexpr std::string_view kNoReads = "action != READ AND action != SEARCHED";
  // OR binds closer than AND, and in front an error's position stays what it is in the user's own.
  return filter.empty() ? std::string(kNoReads) : fmt::format("{} AND {}", filter, kNoReads);
}

void AddRecords(Program& program, CLI::App& group) {
  struct Options {
    ListOptions list;
    std::string tenant;
    bool reads = false;
  };
  auto options = std::make_shared<Options>();
  CLI::App& command = *group.add_subcommand(
      "list", "Records, the newest first; reads and searches with --reads alone");
  command.add_option("--tenant", options->tenant, "Tenant id; without it all that you may see");
  command.add_flag("--reads", options->reads,
                   "Also who read and searched; a --filter that names \"action\" shows them, too");
  AddListOptions(command, options->list);
  program.DoConnected(command, [&program, options](Client& client) {
    ListOptions list = options->list;
    list.parent = TenantParent(options->tenant);
    if (!options->reads && list.filter.find("action") == std::string::npos) {
      list.filter = WithoutReads(list.filter);
    }
    return PrintList(client, list, program.format(),
                     {{"TIME", "time"},
                      {"TENANT", "tenant"},
                      {"PRINCIPAL", "principal", 60},
                      {"ON BEHALF OF", "on_behalf_of", 60},
                      {"ACTION", "action"},
                      {"RESOURCE", "resource", 80},
                      {"CODE", "status_code"},
                      {"DETAIL", "detail"}},
                     &AuditService::Stub::ListRecords);
  });
}

void AddVerify(Program& program, CLI::App& group) {
  auto tenant = std::make_shared<std::string>();
  CLI::App& command = *group.add_subcommand(
      "verify", "Compute the chain of sealed records anew and check the signatures");
  command.add_option("--tenant", *tenant, "Tenant id; without it all that you may see");
  program.DoConnected(command, [&program, tenant](Client& client) {
    return Verify(client, *tenant, program.format());
  });
}

void AddKeys(Program& program, CLI::App& group) {
  CLI::App& command = *group.add_subcommand(
      "keys", "Public keys that sign the heads of the chains, to be noted elsewhere");
  program.DoConnected(command, [&program](Client& client) {
    return PrintList(client, ListOptions{}, program.format(),
                     {{"KEY", "id"}, {"PUBLIC KEY (Ed25519, base64)", "public_key"}},
                     &AuditService::Stub::ListSealingKeys);
  });
}

}  // namespace

void AddAuditCommands(Program& program) {
  CLI::App& group = program.Group("audit", "Who wrote, read, searched and exported what");
  AddRecords(program, group);
  AddVerify(program, group);
  AddKeys(program, group);
}

}  // namespace yagura::cli
