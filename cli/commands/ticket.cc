#include "cli/commands/command.h"

#include "common/text/text.h"
#include "yagura/ticketing/v1/ticketing_service.grpc.pb.h"

namespace yagura::cli {
namespace {

using ticketing::v1::TicketingService;
using Stub = TicketingService::Stub;

void AddCreate(Program& program, CLI::App& group) {
  struct Options {
    std::string tenant;
    std::string title;
    std::string description;
    std::string priority = "P3";
  };
  auto options = std::make_shared<Options>();
  CLI::App& command = *group.add_subcommand("create", "Open a ticket by hand");
  command.add_option("title", options->title, "What it is about")->required();
  command.add_option("--tenant", options->tenant, "Tenant id")->required();
  command.add_option("--description", options->description, "More about it");
  command.add_option("--priority", options->priority, "P1 (most urgent) to P4")
      ->capture_default_str();
  program.DoConnected(command, [&program, options](Client& client) -> absl::Status {
    ticketing::v1::CreateTicketRequest request;
    request.set_parent(TenantParent(options->tenant));
    auto& ticket = *request.mutable_ticket();
    ticket.set_title(options->title);
    ticket.set_description(options->description);
    ticketing::v1::Priority priority{};
    if (!ticketing::v1::Priority_Parse(ToUpper(options->priority), &priority)) {
      return InvalidField("priority", "is not one of P1, P2, P3, P4");
    }
    ticket.set_priority(priority);
    SetRequestId(request);
    YAGURA_ASSIGN_OR_RETURN(const auto created, client.Call(&Stub::CreateTicket, request));
    program.Print(created);
    return absl::OkStatus();
  });
}

void AddComment(Program& program, CLI::App& group) {
  struct Options {
    std::string text;
    bool is_public = false;
  };
  CLI::App& command = *group.add_subcommand("comment", "Add a comment, internal unless --public");
  auto named = AddNamedOptions(command, "tickets", {}, false);
  auto options = std::make_shared<Options>();
  command.add_option("text", options->text, "The comment")->required();
  command.add_flag("--public", options->is_public, "The customer reads it too");
  program.DoConnected(command, [&program, named, options](Client& client) -> absl::Status {
    ticketing::v1::AddCommentRequest request;
    request.set_parent(ResourceName(named->tenant, "tickets", named->resource));
    request.mutable_comment()->set_text(options->text);
    request.mutable_comment()->set_visibility(options->is_public ? ticketing::v1::PUBLIC
                                                                 : ticketing::v1::INTERNAL);
    SetRequestId(request);
    YAGURA_ASSIGN_OR_RETURN(const auto comment, client.Call(&Stub::AddComment, request));
    program.Print(comment);
    return absl::OkStatus();
  });
}

void AddComments(Program& program, CLI::App& group) {
  CLI::App& command = *group.add_subcommand("comments", "Comments of a ticket");
  auto named = AddNamedOptions(command, "tickets", {}, false);
  auto list = std::make_shared<ListOptions>();
  AddListOptions(command, *list);
  program.DoConnected(command, [&program, named, list](Client& client) {
    list->parent = ResourceName(named->tenant, "tickets", named->resource);
    return PrintList(client, *list, program.format(),
                     {{"TIME", "create_time"},
                      {"AUTHOR", "author"},
                      {"VISIBILITY", "visibility"},
                      {"TEXT", "text", 200}},
                     &Stub::ListComments);
  });
}

}  // namespace

void AddTicketCommands(Program& program) {
  CLI::App& group = program.Group("ticket", "Cases, from first finding to closure");
  AddList(program, group, "Tickets",
          {{"NUMBER", "number"},
           {"OPENED", "create_time"},
           {"STATE", "state"},
           {"PRIORITY", "priority"},
           {"TITLE", "title"},
           {"ASSIGNEE", "assignee", 40},
           {"FINDINGS", "finding_count"},
           {"NAME", "name", 80}},
          &Stub::ListTickets);
  AddNamed(program, group, "get", "One ticket with its evidence", "tickets", {}, &Stub::GetTicket);
  AddCreate(program, group);
  AddNamed(program, group, "assign", "Give it to somebody", "tickets",
           {{"assignee", "tenants/TENANT/users/USER; empty takes it away"}}, &Stub::AssignTicket);
  AddNamed(program, group, "start", "Begin to work on it", "tickets", {}, &Stub::StartTicket);
  AddNamed(program, group, "wait", "Wait for the customer", "tickets", {}, &Stub::WaitForCustomer);
  AddNamed(program, group, "resolve", "Say how it was solved", "tickets",
           {{"resolution", "What was done", true}}, &Stub::ResolveTicket);
  AddNamed(program, group, "close", "Close it", "tickets", {}, &Stub::CloseTicket);
  AddNamed(program, group, "reopen", "Open it again", "tickets", {}, &Stub::ReopenTicket);
  AddComment(program, group);
  AddComments(program, group);
}

}  // namespace yagura::cli
