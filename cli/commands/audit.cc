#include "cli/commands/command.h"

#include "yagura/audit/v1/audit_service.grpc.pb.h"

namespace yagura::cli {

void AddAuditCommands(Program& program) {
  CLI::App& group = program.Group("audit", "Who wrote, read, searched and exported what");
  AddList(program, group, "Records, the newest first",
          {{"TIME", "time"},
           {"TENANT", "tenant"},
           {"PRINCIPAL", "principal", 60},
           {"ON BEHALF OF", "on_behalf_of", 60},
           {"ACTION", "action"},
           {"RESOURCE", "resource", 80},
           {"CODE", "status_code"},
           {"DETAIL", "detail"}},
          &audit::v1::AuditService::Stub::ListRecords);
}

}  // namespace yagura::cli
