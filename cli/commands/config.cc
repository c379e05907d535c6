#include <iostream>
#include <thread>

#include "cli/commands/command.h"
#include "fmt/format.h"

#include "common/text/text.h"
#include "yagura/config/v1/config_service.grpc.pb.h"

namespace yagura::cli {
namespace {

using config::v1::ConfigService;
using Stub = ConfigService::Stub;

constexpr size_t kMaxConfigurationBytes = 12 << 20;

void AddDeviceAdd(Program& program, CLI::App& group) {
  struct Options {
    std::string tenant;
    std::string id;
    std::string platform = "linux.nftables";
    std::string address;
    int port = 22;
    std::vector<std::string> fingerprints;
    bool trust_on_first_use = false;
    std::string credential;
    std::string site;
    std::string display_name;
    std::string startup_path;
  };
  auto options = std::make_shared<Options>();
  CLI::App& command = *group.add_subcommand("add", "Put a device under management");
  command.add_option("id", options->id, "Id of the device")->required();
  command.add_option("--tenant", options->tenant, "Tenant id")->required();
  command.add_option("--address", options->address, "Address or host name of its SSH server")
      ->required();
  command.add_option("--port", options->port, "Port of its SSH server")
      ->capture_default_str()
      ->check(CLI::Range(1, 65535));
  command.add_option("--platform", options->platform, "What it runs")->capture_default_str();
  command.add_option("--host-key", options->fingerprints, "SHA256:... of its host key");
  command.add_flag("--trust-on-first-use", options->trust_on_first_use,
                   "Take the host key that it shows first");
  command.add_option("--credential", options->credential, "Id of the credential")->required();
  command.add_option("--site", options->site, "Id of the site where it stands");
  command.add_option("--display-name", options->display_name, "Name for people");
  command.add_option("--startup-path", options->startup_path,
                     "File on the device that holds what it loads at its start");
  program.DoConnected(command, [&program, options](Client& client) -> absl::Status {
    config::v1::CreateDeviceRequest request;
    request.set_parent(TenantParent(options->tenant));
    request.set_device_id(options->id);
    auto& device = *request.mutable_device();
    device.set_display_name(options->display_name);
    device.set_platform(options->platform);
    device.set_address(options->address);
    device.set_port(options->port);
    for (const auto& value : options->fingerprints) device.add_host_key_fingerprints(value);
    device.set_trust_host_key_on_first_use(options->trust_on_first_use);
    device.set_credential(ResourceName(options->tenant, "credentials", options->credential));
    if (!options->site.empty()) {
      device.set_site(ResourceName(options->tenant, "sites", options->site));
    }
    device.set_startup_path(options->startup_path);
    SetRequestId(request);
    YAGURA_ASSIGN_OR_RETURN(const auto created, client.Call(&Stub::CreateDevice, request));
    program.Print(created);
    return absl::OkStatus();
  });
}

void AddSnapshot(Program& program, CLI::App& group) {
  CLI::App& command = *group.add_subcommand(
      "snapshot", "Back its running configuration up now, secrets scrubbed here");
  auto named = AddNamedOptions(command, "devices", {}, false);
  program.DoConnected(command, [&program, named](Client& client) -> absl::Status {
    config::v1::TakeSnapshotRequest request;
    request.set_parent(ResourceName(named->tenant, "devices", named->resource));
    SetRequestId(request);
    YAGURA_ASSIGN_OR_RETURN(const auto snapshot, client.Call(&Stub::TakeSnapshot, request));
    program.Print(snapshot);
    return absl::OkStatus();
  });
}

void AddSnapshots(Program& program, CLI::App& group) {
  CLI::App& command = *group.add_subcommand("snapshots", "Snapshots of a tenant's devices");
  struct Options {
    ListOptions list;
    std::string tenant;
    std::string device = "-";
  };
  auto options = std::make_shared<Options>();
  command.add_option("--tenant", options->tenant, "Tenant id")->required();
  command.add_option("--device", options->device, "Id of a device; without it all of the tenant's");
  AddListOptions(command, options->list);
  program.DoConnected(command, [&program, options](Client& client) {
    options->list.parent = ResourceName(options->tenant, "devices", options->device);
    return PrintList(client, options->list, program.format(),
                     {{"TIME", "create_time"},
                      {"DEVICE", "device", 80},
                      {"ORIGIN", "origin"},
                      {"BYTES", "size_bytes"},
                      {"NAME", "name", 80}},
                     &Stub::ListSnapshots);
  });
}

void AddDiff(Program& program, CLI::App& group) {
  struct Options {
    std::string base;
    std::string name;
  };
  auto options = std::make_shared<Options>();
  CLI::App& command = *group.add_subcommand("diff", "What changed between two snapshots");
  command.add_option("base", options->base, "Name of the older snapshot")->required();
  command.add_option("name", options->name, "Name of the newer snapshot")->required();
  program.DoConnected(command, [&program, options](Client& client) -> absl::Status {
    config::v1::DiffSnapshotsRequest request;
    request.set_base(options->base);
    request.set_name(options->name);
    YAGURA_ASSIGN_OR_RETURN(const auto response, client.Call(&Stub::DiffSnapshots, request));
    program.Print(response);
    return absl::OkStatus();
  });
}

void AddCredentialCreate(Program& program, CLI::App& group) {
  struct Options {
    std::string tenant;
    std::string id;
    std::string user_name;
    std::string password_file;
    std::string private_key_file;
    std::string display_name;
  };
  auto options = std::make_shared<Options>();
  CLI::App& command = *group.add_subcommand("create", "Seal a password or key for devices");
  command.add_option("id", options->id, "Id of the credential")->required();
  command.add_option("--tenant", options->tenant, "Tenant id")->required();
  command.add_option("--user-name", options->user_name, "Account on the device")->required();
  command.add_option("--display-name", options->display_name, "Name for people");
  auto* password = command.add_option("--password-file", options->password_file,
                                      "File with the password; - is standard input");
  auto* key = command.add_option("--private-key-file", options->private_key_file,
                                 "File with an OpenSSH private key; - is standard input");
  password->excludes(key);
  program.DoConnected(command, [&program, options](Client& client) -> absl::Status {
    constexpr size_t kMaxSecretBytes = 64 * 1024;
    config::v1::CreateCredentialRequest request;
    request.set_parent(TenantParent(options->tenant));
    request.set_credential_id(options->id);
    request.mutable_credential()->set_display_name(options->display_name);
    request.mutable_credential()->set_user_name(options->user_name);
    if (!options->private_key_file.empty()) {
      YAGURA_ASSIGN_OR_RETURN(*request.mutable_secret()->mutable_private_key(),
                              ReadInput(options->private_key_file, kMaxSecretBytes));
    } else if (!options->password_file.empty()) {
      YAGURA_ASSIGN_OR_RETURN(auto text, ReadInput(options->password_file, kMaxSecretBytes));
      while (text.ends_with('\n') || text.ends_with('\r')) text.pop_back();
      request.mutable_secret()->set_password(text);
    } else {
      return InvalidField("secret", "--password-file or --private-key-file is needed");
    }
    SetRequestId(request);
    YAGURA_ASSIGN_OR_RETURN(const auto created, client.Call(&Stub::CreateCredential, request));
    program.Print(created);
    return absl::OkStatus();
  });
}

struct ChangeOptions {
  std::string tenant;
  std::string device;
  std::string title;
  std::string reason;
  std::string ticket;
  std::string configuration_file;
  std::string patch_file;
  std::vector<std::string> contains;
  std::vector<std::string> lacks;
  std::optional<int> dead_man_seconds;
};

void FillChange(const ChangeOptions& options, config::v1::Change& change) {
  change.set_title(options.title);
  change.set_reason(options.reason);
  change.set_device(ResourceName(options.tenant, "devices", options.device));
  if (!options.ticket.empty()) {
    change.set_ticket(ResourceName(options.tenant, "tickets", options.ticket));
  }
  if (options.dead_man_seconds) {
    change.mutable_dead_man_timeout()->set_seconds(*options.dead_man_seconds);
  }
  for (const auto& text : options.contains) {
    auto& check = *change.add_checks();
    check.set_title(fmt::format("has \"{}\"", text));
    check.set_running_contains(text);
  }
  for (const auto& text : options.lacks) {
    auto& check = *change.add_checks();
    check.set_title(fmt::format("lacks \"{}\"", text));
    check.set_running_lacks(text);
  }
}

absl::StatusOr<config::v1::CreateChangeRequest> MakeChangeRequest(const ChangeOptions& options) {
  config::v1::CreateChangeRequest request;
  request.set_parent(TenantParent(options.tenant));
  FillChange(options, *request.mutable_change());
  if (!options.configuration_file.empty()) {
    YAGURA_ASSIGN_OR_RETURN(*request.mutable_candidate()->mutable_configuration(),
                            ReadText(options.configuration_file, kMaxConfigurationBytes));
  } else if (!options.patch_file.empty()) {
    YAGURA_ASSIGN_OR_RETURN(*request.mutable_candidate()->mutable_patch(),
                            ReadText(options.patch_file, kMaxConfigurationBytes));
  } else {
    return InvalidField("candidate", "--config-file or --patch-file is needed");
  }
  SetRequestId(request);
  return request;
}

void AddChangeCreate(Program& program, CLI::App& group) {
  auto options = std::make_shared<ChangeOptions>();
  CLI::App& command = *group.add_subcommand("create", "Draft a change of a device's configuration");
  command.add_option("title", options->title, "What it is about")->required();
  command.add_option("--tenant", options->tenant, "Tenant id")->required();
  command.add_option("--device", options->device, "Id of the device")->required();
  command.add_option("--reason", options->reason, "Why it is needed; a change must say it");
  command.add_option("--ticket", options->ticket, "Id of the ticket that it belongs to");
  auto* whole = command.add_option("--config-file", options->configuration_file,
                                   "The whole new configuration; - is standard input");
  auto* patch = command.add_option("--patch-file", options->patch_file,
                                   "Unified diff against the newest snapshot; - is standard input");
  whole->excludes(patch);
  command.add_option("--check-contains", options->contains,
                     "Verified only if the running configuration has this text then");
  command.add_option("--check-lacks", options->lacks,
                     "Verified only if the running configuration lacks this text then");
  command.add_option(
      "--dead-man", options->dead_man_seconds,
      "Seconds after which the device reverts by itself unless confirmed, 2 to 3600; "
      "without it 60");
  program.DoConnected(command, [&program, options](Client& client) -> absl::Status {
    YAGURA_ASSIGN_OR_RETURN(const auto request, MakeChangeRequest(*options));
    YAGURA_ASSIGN_OR_RETURN(const auto created, client.Call(&Stub::CreateChange, request));
    program.Print(created);
    return absl::OkStatus();
  });
}

bool IsFinal(config::v1::ChangeState state) {
  return state != config::v1::APPLYING && state != config::v1::APPROVED;
}

void AddApply(Program& program, CLI::App& group) {
  CLI::App& command =
      *group.add_subcommand("apply", "Apply an approved change and wait for its outcome");
  auto named = AddNamedOptions(command, "changes", {}, true);
  auto no_wait = std::make_shared<bool>(false);
  command.add_flag("--no-wait", *no_wait, "Do not wait");
  program.DoConnected(command, [&program, named, no_wait](Client& client) -> absl::Status {
    config::v1::ApplyChangeRequest request;
    YAGURA_RETURN_IF_ERROR(FillNamed(request, *named, "changes", {}));
    YAGURA_ASSIGN_OR_RETURN(auto change, client.Call(&Stub::ApplyChange, request));
    config::v1::GetChangeRequest get;
    get.set_name(change.name());
    while (!*no_wait && !IsFinal(change.state())) {
      if (isatty(STDERR_FILENO) != 0) {
        std::cerr << fmt::format("\r\x1b[K{:3.0f} %  {}", change.apply().progress() * 100,
                                 config::v1::ApplyPhase_Name(change.apply().phase()))
                  << std::flush;
      }
      std::this_thread::sleep_for(std::chrono::milliseconds(300));
      YAGURA_ASSIGN_OR_RETURN(change, client.Call(&Stub::GetChange, get));
    }
    if (isatty(STDERR_FILENO) != 0) std::cerr << "\r\x1b[K";
    program.Print(change);
    if (*no_wait || change.state() == config::v1::VERIFIED) return absl::OkStatus();
    return MakeError(
        absl::StatusCode::kAborted, change.apply().error_reason(),
        fmt::format("the change ended as {}: {}", config::v1::ChangeState_Name(change.state()),
                    change.apply().error_message()));
  });
}

void AddApprove(Program& program, CLI::App& group) {
  struct Options {
    std::string digest;
    std::string comment;
  };
  auto options = std::make_shared<Options>();
  CLI::App& command = *group.add_subcommand("approve", "Approve what somebody else submitted");
  auto named = AddNamedOptions(command, "changes", {}, true);
  command.add_option("--digest", options->digest,
                     "Digest of what you read (`change get` shows it); without it the present one");
  command.add_option("--comment", options->comment, "Why");
  program.DoConnected(command, [&program, named, options](Client& client) -> absl::Status {
    config::v1::ApproveChangeRequest request;
    YAGURA_RETURN_IF_ERROR(FillNamed(request, *named, "changes", {}));
    request.set_digest(options->digest);
    request.set_comment(options->comment);
    if (options->digest.empty()) {
      config::v1::GetChangeRequest get;
      get.set_name(request.name());
      YAGURA_ASSIGN_OR_RETURN(const auto change, client.Call(&Stub::GetChange, get));
      request.set_digest(change.digest());
    }
    YAGURA_ASSIGN_OR_RETURN(const auto change, client.Call(&Stub::ApproveChange, request));
    program.Print(change);
    return absl::OkStatus();
  });
}

}  // namespace

void AddConfigCommands(Program& program) {
  CLI::App& device = program.Group("device", "Devices under management");
  AddDeviceAdd(program, device);
  AddList(program, device, "Devices",
          {{"NAME", "name", 80},
           {"PLATFORM", "platform"},
           {"ADDRESS", "address"},
           {"PORT", "port"},
           {"SITE", "site", 60},
           {"LAST CONTACT", "last_contact_time"},
           {"SNAPSHOT", "latest_snapshot", 80}},
          &Stub::ListDevices);
  AddNamed(program, device, "get", "One device", "devices", {}, &Stub::GetDevice);
  AddNamed(program, device, "delete", "Take a device out of management", "devices", {},
           &Stub::DeleteDevice);
  AddSnapshot(program, device);
  AddSnapshots(program, device);
  AddDiff(program, device);

  CLI::App& credential = program.Group("credential", "Sealed accounts for devices");
  AddCredentialCreate(program, credential);
  AddList(program, credential, "Credentials, without their secrets",
          {{"NAME", "name", 80},
           {"USER NAME", "user_name"},
           {"KIND", "secret_kind"},
           {"SECRET SET", "secret_update_time"}},
          &Stub::ListCredentials);
  AddNamed(program, credential, "delete", "Remove a credential", "credentials", {},
           &Stub::DeleteCredential);

  CLI::App& change = program.Group("change", "Changes of devices, from draft to verified");
  AddChangeCreate(program, change);
  AddList(program, change, "Changes, the latest first",
          {{"TIME", "create_time"},
           {"STATE", "state"},
           {"TITLE", "title"},
           {"DEVICE", "device", 80},
           {"APPROVER", "approver", 60},
           {"NAME", "name", 80}},
          &Stub::ListChanges);
  AddNamed(program, change, "get", "One change with its diff and history", "changes", {},
           &Stub::GetChange);
  AddNamed(program, change, "submit", "Ask for approval", "changes",
           {{"comment", "What the approver should know"}}, &Stub::SubmitChange);
  AddApprove(program, change);
  AddNamed(program, change, "reject", "Refuse what somebody submitted", "changes",
           {{"comment", "Why"}}, &Stub::RejectChange);
  AddNamed(program, change, "cancel", "Give a change up", "changes", {{"comment", "Why"}},
           &Stub::CancelChange);
  AddApply(program, change);
}

}  // namespace yagura::cli
