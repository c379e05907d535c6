#include "cli/commands/command.h"

#include "common/text/text.h"
#include "yagura/notification/v1/notification_service.grpc.pb.h"

namespace yagura::cli {
namespace {

using notification::v1::NotificationService;

void AddContactCreate(Program& program, CLI::App& group) {
  struct Options {
    std::string tenant;
    std::string id;
    notification::v1::Contact contact;
    std::string display_name;
    std::string email;
    std::string webhook_url;
    std::string webhook_secret_file;
  };
  auto options = std::make_shared<Options>();
  CLI::App& command = *group.add_subcommand("create", "Add somebody to be told");
  command.add_option("id", options->id, "Id of the contact")->required();
  command.add_option("--tenant", options->tenant, "Tenant id")->required();
  command.add_option("--display-name", options->display_name, "Name for people")->required();
  command.add_option("--email", options->email, "Mail address");
  command.add_option("--webhook-url", options->webhook_url, "http or https address");
  command.add_option("--webhook-secret-file", options->webhook_secret_file,
                     "File with the secret that webhooks are signed with; - is standard input");
  program.DoConnected(command, [&program, options](Client& client) -> absl::Status {
    notification::v1::CreateContactRequest request;
    request.set_parent(TenantParent(options->tenant));
    request.set_contact_id(options->id);
    auto& contact = *request.mutable_contact();
    contact.set_display_name(options->display_name);
    contact.set_email(options->email);
    contact.set_webhook_url(options->webhook_url);
    if (!options->webhook_secret_file.empty()) {
      YAGURA_ASSIGN_OR_RETURN(const auto secret, ReadInput(options->webhook_secret_file, 4096));
      contact.set_webhook_secret(std::string(Trim(secret)));
    }
    SetRequestId(request);
    YAGURA_ASSIGN_OR_RETURN(const auto created,
                            client.Call(&NotificationService::Stub::CreateContact, request));
    program.Print(created);
    return absl::OkStatus();
  });
}

void AddRouteCreate(Program& program, CLI::App& group) {
  struct Options {
    std::string tenant;
    std::string id;
    std::string severity = "MEDIUM";
    std::vector<std::string> contacts;
    std::vector<std::string> channels;
    std::vector<std::string> rule_ids;
    std::vector<std::string> tags;
    std::vector<std::string> sites;
  };
  auto options = std::make_shared<Options>();
  CLI::App& command = *group.add_subcommand("create", "Say who is told of what");
  command.add_option("id", options->id, "Id of the route")->required();
  command.add_option("--tenant", options->tenant, "Tenant id")->required();
  command.add_option("--contact", options->contacts, "Id of a contact; may come again")->required();
  command
      .add_option("--min-severity", options->severity,
                  "INFORMATIONAL, LOW, MEDIUM, HIGH or CRITICAL, and graver")
      ->capture_default_str();
  command.add_option("--channel", options->channels, "EMAIL or WEBHOOK; without it all there are");
  command.add_option("--rule-id", options->rule_ids, "Only findings of this Sigma rule");
  command.add_option("--tag", options->tags, "Only findings with this tag");
  command.add_option("--site", options->sites, "Only findings of this site");
  program.DoConnected(command, [&program, options](Client& client) -> absl::Status {
    notification::v1::CreateRouteRequest request;
    request.set_parent(TenantParent(options->tenant));
    request.set_route_id(options->id);
    auto& route = *request.mutable_route();
    event::v1::Severity severity{};
    if (!event::v1::Severity_Parse(ToUpper(options->severity), &severity)) {
      return InvalidField("min_severity", "is not a severity");
    }
    route.set_min_severity(severity);
    for (const auto& id : options->contacts) {
      route.add_contacts(ResourceName(options->tenant, "contacts", id));
    }
    for (const auto& name : options->channels) {
      notification::v1::Channel channel{};
      if (!notification::v1::Channel_Parse(ToUpper(name), &channel)) {
        return InvalidField("channel", "is neither EMAIL nor WEBHOOK");
      }
      route.add_channels(channel);
    }
    for (const auto& value : options->rule_ids) route.add_rule_ids(value);
    for (const auto& value : options->tags) route.add_tags(value);
    for (const auto& value : options->sites) route.add_sites(value);
    SetRequestId(request);
    YAGURA_ASSIGN_OR_RETURN(const auto created,
                            client.Call(&NotificationService::Stub::CreateRoute, request));
    program.Print(created);
    return absl::OkStatus();
  });
}

}  // namespace

void AddNotificationCommands(Program& program) {
  using Stub = NotificationService::Stub;
  CLI::App& alert = program.Group("alert", "What somebody has to look at now");
  AddList(program, alert, "Alerts, the latest first",
          {{"TIME", "create_time"},
           {"STATE", "state"},
           {"SEVERITY", "severity"},
           {"TITLE", "title"},
           {"FINDINGS", "finding_count"},
           {"EVENTS", "event_count"},
           {"NAME", "name", 80}},
          &Stub::ListAlerts);
  AddNamed(program, alert, "get", "One alert", "alerts", {}, &Stub::GetAlert);
  AddNamed(program, alert, "ack", "Say that you are looking at it", "alerts",
           {{"comment", "What you know so far"}}, &Stub::AcknowledgeAlert);
  AddNamed(program, alert, "resolve", "Say that it is over", "alerts",
           {{"comment", "How it ended"}}, &Stub::ResolveAlert);

  CLI::App& contact = program.Group("contact", "Who is told");
  AddList(program, contact, "Contacts",
          {{"NAME", "name", 80},
           {"DISPLAY NAME", "display_name"},
           {"EMAIL", "email"},
           {"WEBHOOK", "webhook_url"},
           {"DISABLED", "disabled"}},
          &Stub::ListContacts);
  AddContactCreate(program, contact);
  AddNamed(program, contact, "get", "One contact", "contacts", {}, &Stub::GetContact);
  AddNamed(program, contact, "delete", "Remove a contact", "contacts", {}, &Stub::DeleteContact);
  AddNamed(program, contact, "test", "Send a test message over all channels of a contact",
           "contacts", {}, &Stub::SendTestNotification);

  CLI::App& route = program.Group("route", "Which alerts go to whom");
  AddList(program, route, "Routes",
          {{"NAME", "name", 80},
           {"MIN SEVERITY", "min_severity"},
           {"CONTACTS", "contacts", 80},
           {"CHANNELS", "channels"},
           {"DISABLED", "disabled"}},
          &Stub::ListRoutes);
  AddRouteCreate(program, route);
  AddNamed(program, route, "get", "One route", "routes", {}, &Stub::GetRoute);
  AddNamed(program, route, "delete", "Remove a route", "routes", {}, &Stub::DeleteRoute);

  CLI::App& delivery = program.Group("delivery", "Every attempt to tell somebody");
  AddList(program, delivery, "Deliveries, the latest first",
          {{"TIME", "create_time"},
           {"STATE", "state"},
           {"CHANNEL", "channel"},
           {"TARGET", "target", 40},
           {"ATTEMPTS", "attempt_count"},
           {"REPEAT", "possible_repeat"},
           {"SUBJECT", "subject"},
           {"NAME", "name", 80}},
          &Stub::ListDeliveries);
  AddNamed(program, delivery, "get", "One delivery with its attempts", "deliveries", {},
           &Stub::GetDelivery);
}

}  // namespace yagura::cli
