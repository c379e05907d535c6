#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <iostream>
#include <optional>
#include <utility>

#include "cli/commands/command.h"
#include "cli/time_range.h"
#include "fmt/format.h"
#include "google/protobuf/util/json_util.h"

#include "common/text/text.h"
#include "yagura/directory/v1/directory_service.grpc.pb.h"
#include "yagura/ingestion/v1/ingestion_service.grpc.pb.h"

namespace yagura::cli {
namespace {

using directory::v1::DirectoryService;
using Stub = DirectoryService::Stub;

constexpr size_t kMaxImportBytes = 64 << 20;

// "ROLE" in the own tenant, "ROLE@acme,globex", "ROLE@*".
directory::v1::RoleGrant ParseGrant(const std::string& text) {
  directory::v1::RoleGrant grant;
  const size_t at = text.find('@');
  grant.set_role(text.substr(0, at));
  if (at != std::string::npos) {
    for (const auto tenant : Split(std::string_view(text).substr(at + 1), ',')) {
      grant.add_tenants(std::string(tenant));
    }
  }
  return grant;
}

// "viewer, analyst@acme,globex, admin@*" of a User or an ApiKey.
template <typename Account>
TableColumn RolesColumn() {
  const auto text = [](const google::protobuf::Message& message) {
    std::vector<std::string> roles;
    for (const auto& grant : dynamic_cast<const Account&>(message).roles()) {
      roles.push_back(grant.tenants().empty()
                          ? grant.role()
                          : fmt::format("{}@{}", grant.role(), Join(grant.tenants(), ",")));
    }
    return Join(roles, ", ");
  };
  return {"ROLES", "roles", 60, text};
}

constexpr char kRoleHelp[] = "ROLE in the own tenant, ROLE@TENANT,TENANT or ROLE@*; may come again";

// `group import FILE`: one create request as JSON a line, {"site_id": "tokyo", "site": {...}}; the
// parent comes from --tenant. Goes on after a refused line and tells of it.
template <typename Request, typename Response>
void AddImport(Program& program, CLI::App& group, const std::string& example,
               grpc::Status (Stub::*method)(grpc::ClientContext*, const Request&, Response*)) {
  struct Options {
    std::string tenant;
    std::string file;
  };
  auto options = std::make_shared<Options>();
  CLI::App& command =
      *group.add_subcommand("import", "Create many, one JSON object a line: " + example);
  command.add_option("file", options->file, "JSON lines; - is standard input")->required();
  command.add_option("--tenant", options->tenant, "Tenant id");
  program.DoConnected(command, [options, method](Client& client) -> absl::Status {
    YAGURA_ASSIGN_OR_RETURN(const auto text, ReadText(options->file, kMaxImportBytes));
    int number = 0;
    int created = 0;
    int refused = 0;
    for (const auto line : Split(text, '\n')) {
      ++number;
      if (Trim(line).empty()) continue;
      Request request;
      const auto parsed = google::protobuf::util::JsonStringToMessage(std::string(line), &request);
      if (!options->tenant.empty()) SetField(request, "parent", TenantParent(options->tenant));
      SetRequestId(request);
      absl::Status status =
          parsed.ok()
              ? client.Call(method, request).status()
              : InvalidField("line", std::string(parsed.message().data(), parsed.message().size()));
      if (status.ok()) {
        ++created;
      } else {
        ++refused;
        std::cerr << fmt::format("line {}: {}\n", number, EscapeForTerminal(Message(status)));
      }
    }
    Write(fmt::format("{} created, {} refused\n", created, refused));
    return refused == 0 ? absl::OkStatus()
                        : MakeError(absl::StatusCode::kAborted, "IMPORT_INCOMPLETE",
                                    fmt::format("{} lines were refused", refused));
  });
}

void AddTenantCommands(Program& program) {
  struct Options {
    std::string id;
    std::string display_name;
    std::string time_zone;
    std::string language;
    int retention_days = 0;
    int flow_retention_days = 0;
  };
  CLI::App& group = program.Group("tenant", "Customers");
  AddList(program, group, "Tenants",
          {{"NAME", "name"},
           {"DISPLAY NAME", "display_name"},
           {"STATE", "state"},
           {"TIME ZONE", "time_zone"},
           {"LANGUAGE", "language"},
           {"RETENTION DAYS", "retention_days"}},
          &Stub::ListTenants);
  CLI::App& create = *group.add_subcommand("create", "Add a customer");
  auto options = std::make_shared<Options>();
  create.add_option("id", options->id, "Tenant id")->required();
  create.add_option("--display-name", options->display_name, "Name for people")->required();
  create.add_option("--time-zone", options->time_zone, "IANA time zone; Asia/Tokyo if not given");
  create.add_option("--language", options->language, "ja or en; ja if not given");
  create.add_option("--retention-days", options->retention_days, "How long events are kept");
  create.add_option("--flow-retention-days", options->flow_retention_days,
                    "How long it is kept who talked to whom");
  program.DoConnected(create, [&program, options](Client& client) -> absl::Status {
    directory::v1::CreateTenantRequest request;
    request.set_tenant_id(options->id);
    auto& tenant = *request.mutable_tenant();
    tenant.set_display_name(options->display_name);
    tenant.set_time_zone(options->time_zone);
    tenant.set_language(options->language);
    tenant.set_retention_days(options->retention_days);
    tenant.set_flow_retention_days(options->flow_retention_days);
    SetRequestId(request);
    YAGURA_ASSIGN_OR_RETURN(const auto created, client.Call(&Stub::CreateTenant, request));
    program.Print(created);
    return absl::OkStatus();
  });
  AddImport(program, group, R"({"tenant_id": "acme", "tenant": {"display_name": "Acme"}})",
            &Stub::CreateTenant);
}

void AddSiteCommands(Program& program) {
  struct Options {
    std::string tenant;
    std::string id;
    std::string display_name;
    std::string time_zone;
    std::vector<std::string> networks;
  };
  CLI::App& group =
      program.Group("site", "Places of a customer; each has private networks of its own");
  AddList(program, group, "Sites",
          {{"NAME", "name", 80},
           {"DISPLAY NAME", "display_name"},
           {"TIME ZONE", "time_zone"},
           {"NETWORKS", "networks"}},
          &Stub::ListSites);
  CLI::App& create = *group.add_subcommand("create", "Add a site");
  auto options = std::make_shared<Options>();
  create.add_option("id", options->id, "Site id")->required();
  create.add_option("--tenant", options->tenant, "Tenant id")->required();
  create.add_option("--display-name", options->display_name, "Name for people")->required();
  create.add_option("--time-zone", options->time_zone, "IANA time zone; the tenant's if not given");
  create.add_option("--network", options->networks, "CIDR of a network there; may come again");
  program.DoConnected(create, [&program, options](Client& client) -> absl::Status {
    directory::v1::CreateSiteRequest request;
    request.set_parent(TenantParent(options->tenant));
    request.set_site_id(options->id);
    auto& site = *request.mutable_site();
    site.set_display_name(options->display_name);
    site.set_time_zone(options->time_zone);
    for (const auto& network : options->networks) site.add_networks(network);
    SetRequestId(request);
    YAGURA_ASSIGN_OR_RETURN(const auto created, client.Call(&Stub::CreateSite, request));
    program.Print(created);
    return absl::OkStatus();
  });
  AddImport(program, group, R"({"site_id": "tokyo", "site": {"display_name": "Tokyo"}})",
            &Stub::CreateSite);
}

// The first line's end is not part of it. The service's own bounds are looked at here, too: whoever
// creates a user would else have one without a password.
absl::StatusOr<std::string> ReadPassword(const std::string& file) {
  constexpr size_t kLeast = 12;
  constexpr size_t kMost = 256;
  YAGURA_ASSIGN_OR_RETURN(auto text, ReadInput(file, 4096));
  while (text.ends_with('\n') || text.ends_with('\r')) text.pop_back();
  if (text.size() < kLeast || text.size() > kMost) {
    return InvalidField("password", fmt::format("must have {} to {} bytes", kLeast, kMost));
  }
  return text;
}

absl::Status SetPassword(Client& client, const std::string& user, std::string password) {
  directory::v1::SetPasswordRequest request;
  request.set_name(user);
  request.set_password(std::move(password));
  return client.Call(&Stub::SetPassword, request).status();
}

void AddSetPassword(Program& program, CLI::App& group) {
  struct Options {
    std::string id;
    std::string tenant;
    std::string password_file;
  };
  CLI::App& command =
      *group.add_subcommand("set-password", "Give a person a new password; ends what is open");
  auto options = std::make_shared<Options>();
  command.add_option("name", options->id, "Name, or its id with --tenant")->required();
  command.add_option("--tenant", options->tenant, "Tenant id");
  command
      .add_option("--password-file", options->password_file,
                  "File with the password, 12 to 256 bytes; - is standard input")
      ->required();
  program.DoConnected(command, [options](Client& client) -> absl::Status {
    YAGURA_ASSIGN_OR_RETURN(auto password, ReadPassword(options->password_file));
    const std::string name = ResourceName(options->tenant, "users", options->id);
    YAGURA_RETURN_IF_ERROR(SetPassword(client, name, std::move(password)));
    Write(fmt::format("{} has the new password\n", name));
    return absl::OkStatus();
  });
}

void AddUserCommands(Program& program) {
  struct Options {
    std::string tenant;
    std::string id;
    std::string email;
    std::string display_name;
    std::vector<std::string> roles;
    std::string password_file;
  };
  CLI::App& group = program.Group("user", "People; staff live in the tenant \"provider\"");
  AddList(program, group, "Users",
          {{"NAME", "name", 80},
           {"EMAIL", "email"},
           {"DISPLAY NAME", "display_name"},
           {"STATE", "state"},
           RolesColumn<directory::v1::User>()},
          &Stub::ListUsers);
  CLI::App& create = *group.add_subcommand("create", "Add a person");
  auto options = std::make_shared<Options>();
  create.add_option("id", options->id, "User id")->required();
  create.add_option("--tenant", options->tenant, "Tenant id")->required();
  create.add_option("--email", options->email, "Mail address")->required();
  create.add_option("--display-name", options->display_name, "Name for people");
  create.add_option("--role", options->roles, kRoleHelp);
  create.add_option("--password-file", options->password_file,
                    "File with the first password, 12 to 256 bytes; - is standard input");
  program.DoConnected(create, [&program, options](Client& client) -> absl::Status {
    std::optional<std::string> password;
    if (!options->password_file.empty()) {
      YAGURA_ASSIGN_OR_RETURN(password, ReadPassword(options->password_file));
    }
    directory::v1::CreateUserRequest request;
    request.set_parent(TenantParent(options->tenant));
    request.set_user_id(options->id);
    auto& user = *request.mutable_user();
    user.set_email(options->email);
    user.set_display_name(options->display_name);
    for (const auto& role : options->roles) *user.add_roles() = ParseGrant(role);
    SetRequestId(request);
    YAGURA_ASSIGN_OR_RETURN(const auto created, client.Call(&Stub::CreateUser, request));
    if (password) {
      const absl::Status set = SetPassword(client, created.name(), *std::move(password));
      if (!set.ok()) {
        return Annotate(
            set, created.name() + " was added, but has no password (yagura user set-password)");
      }
    }
    program.Print(created);
    return absl::OkStatus();
  });
  AddSetPassword(program, group);
  AddNamed(program, group, "disable", "Keep a person from logging in", "users", {},
           &Stub::DisableUser);
  AddNamed(program, group, "enable", "Let a person log in again", "users", {}, &Stub::EnableUser);
  AddNamed(program, group, "unblock", "Let a person log in who gave too many wrong passwords",
           "users", {{"reason", "Why; goes on record"}}, &Stub::UnblockUser);
  AddImport(
      program, group,
      R"({"user_id": "aki", "user": {"email": "aki@example.jp", "roles": [{"role": "analyst"}]}})",
      &Stub::CreateUser);
}

// Where a secret goes that is shown once: a file that the owner alone can read, whatever was there
// before. Opened before the secret is asked for, so that no key is changed for a secret that then
// cannot be kept; its name appears once the secret is on the disk.
class SecretFile {
 public:
  // FAILED_PRECONDITION (FILE_UNWRITABLE), ALREADY_EXISTS (FILE_EXISTS). An empty name: no file.
  static absl::StatusOr<SecretFile> Open(const std::string& name, bool may_replace) {
    SecretFile file;
    if (name.empty()) return file;
    std::error_code ignored;
    if (!may_replace && std::filesystem::exists(name, ignored)) {
      return MakeError(absl::StatusCode::kAlreadyExists, "FILE_EXISTS",
                       fmt::format("{} is there already, and may hold another key's secret", name));
    }
    if (std::filesystem::exists(name, ignored) &&
        !std::filesystem::is_regular_file(name, ignored)) {
      return Unwritable(fmt::format("{} is no regular file", name));
    }
    file.name_ = name;
    file.fresh_ = name + ".new";
    file.fd_ =
        open(file.fresh_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (file.fd_ >= 0) return file;
    return Unwritable(fmt::format("cannot make {}: {}", file.fresh_, strerror(errno)));
  }
  SecretFile(SecretFile&& other) noexcept
      : name_(std::move(other.name_)),
        fresh_(std::move(other.fresh_)),
        fd_(std::exchange(other.fd_, -1)) {}
  SecretFile& operator=(SecretFile&&) = delete;
  // Without a Keep nothing is left of it.
  ~SecretFile() {
    if (fd_ < 0) return;
    close(fd_);
    unlink(fresh_.c_str());
  }

  bool is_open() const { return fd_ >= 0; }

  absl::Status Keep(const std::string& secret, const std::string& key) {
    const std::string line = secret + "\n";
    if (write(fd_, line.data(), line.size()) != static_cast<ssize_t>(line.size()) ||
        fsync(fd_) != 0) {
      return Unwritable(
          fmt::format("cannot write {}: the secret of {} is lost, rotate the key", fresh_, key));
    }
    close(std::exchange(fd_, -1));
    std::error_code error;
    std::filesystem::rename(fresh_, name_, error);
    if (!error) return absl::OkStatus();
    return Unwritable(fmt::format("cannot rename {} to {}: {}; the secret of {} is in the first",
                                  fresh_, name_, error.message(), key));
  }

 private:
  SecretFile() = default;
  static absl::Status Unwritable(const std::string& why) {
    return MakeError(absl::StatusCode::kFailedPrecondition, "FILE_UNWRITABLE", why);
  }

  std::string name_;
  std::string fresh_;
  int fd_ = -1;
};

// Prints the answer; the secret goes to the file where there is one.
template <typename Response>
absl::Status ShowSecret(const Program& program, SecretFile& file, Response& response) {
  if (file.is_open()) {
    YAGURA_RETURN_IF_ERROR(file.Keep(response.secret(), response.api_key().name()));
    response.clear_secret();
  }
  program.Print(response);
  return absl::OkStatus();
}

// Sites of the key's tenant by id, others by name.
void AddRelaySites(const std::vector<std::string>& sites, std::string_view parent,
                   directory::v1::ApiKey& key) {
  for (const auto& site : sites) {
    const bool is_name = site.find('/') != std::string::npos;
    key.add_relay_sites(is_name ? site : fmt::format("{}/sites/{}", parent, site));
  }
}

void AddKeyCreate(Program& program, CLI::App& group) {
  struct Options {
    std::string tenant;
    std::string id;
    std::string display_name;
    std::vector<std::string> roles;
    std::vector<std::string> relay_sites;
    std::string secret_file;
  };
  CLI::App& create = *group.add_subcommand("create", "Make a key; its secret is shown once");
  auto options = std::make_shared<Options>();
  create.add_option("id", options->id, "Key id")->required();
  create.add_option("--tenant", options->tenant, "Tenant id")->required();
  create.add_option("--display-name", options->display_name, "What it is for");
  create.add_option("--role", options->roles, kRoleHelp)->required();
  create.add_option("--relay-site", options->relay_sites,
                    "Site of the tenant, or tenants/TENANT/sites/SITE: it is the key of the relay "
                    "there; repeatable");
  create.add_option("--secret-file", options->secret_file,
                    "Write the secret to this file (mode 0600) instead of showing it");
  program.DoConnected(create, [&program, options](Client& client) -> absl::Status {
    directory::v1::CreateApiKeyRequest request;
    request.set_parent(TenantParent(options->tenant));
    request.set_api_key_id(options->id);
    request.mutable_api_key()->set_display_name(options->display_name);
    for (const auto& role : options->roles) {
      *request.mutable_api_key()->add_roles() = ParseGrant(role);
    }
    AddRelaySites(options->relay_sites, request.parent(), *request.mutable_api_key());
    SetRequestId(request);
    YAGURA_ASSIGN_OR_RETURN(auto file,
                            SecretFile::Open(options->secret_file, /*may_replace=*/false));
    YAGURA_ASSIGN_OR_RETURN(auto response, client.Call(&Stub::CreateApiKey, request));
    return ShowSecret(program, file, response);
  });
}

void AddKeyRelaySites(Program& program, CLI::App& group) {
  struct Options {
    std::string name;
    std::vector<std::string> sites;
  };
  auto options = std::make_shared<Options>();
  CLI::App& command =
      *group.add_subcommand("relay-sites", "Say for which sites a key is that of the relay there");
  command.add_option("name", options->name, "tenants/TENANT/apiKeys/KEY")->required();
  command.add_option(
      "--relay-site", options->sites,
      "Site of the tenant, or tenants/TENANT/sites/SITE; may come again; without one "
      "it is no relay's any more");
  program.DoConnected(command, [&program, options](Client& client) -> absl::Status {
    directory::v1::UpdateApiKeyRequest request;
    request.mutable_api_key()->set_name(options->name);
    const size_t collection = options->name.find("/apiKeys/");
    AddRelaySites(options->sites, options->name.substr(0, collection), *request.mutable_api_key());
    request.mutable_update_mask()->add_paths("relay_sites");
    SetRequestId(request);
    YAGURA_ASSIGN_OR_RETURN(const auto changed, client.Call(&Stub::UpdateApiKey, request));
    program.Print(changed);
    return absl::OkStatus();
  });
}

void AddKeyRotate(Program& program, CLI::App& group) {
  struct Options {
    std::string name;
    int grace_hours = 24;
    std::string secret_file;
  };
  auto options = std::make_shared<Options>();
  CLI::App& rotate = *group.add_subcommand(
      "rotate", "Give a key a new secret; the old one stays good for a while");
  rotate.add_option("name", options->name, "tenants/TENANT/apiKeys/KEY")->required();
  rotate.add_option("--grace-hours", options->grace_hours, "For how long; 0: not at all")
      ->capture_default_str()
      ->check(CLI::Range(0, 24 * 30));
  rotate.add_option("--secret-file", options->secret_file,
                    "Write the secret to this file (mode 0600) instead of showing it");
  program.DoConnected(rotate, [&program, options](Client& client) -> absl::Status {
    directory::v1::RotateApiKeyRequest request;
    request.set_name(options->name);
    request.mutable_grace_period()->set_seconds(3600LL * options->grace_hours);
    SetRequestId(request);
    YAGURA_ASSIGN_OR_RETURN(auto file,
                            SecretFile::Open(options->secret_file, /*may_replace=*/true));
    YAGURA_ASSIGN_OR_RETURN(auto response, client.Call(&Stub::RotateApiKey, request));
    return ShowSecret(program, file, response);
  });
}

void AddKeyCommands(Program& program) {
  CLI::App& group = program.Group("key", "API keys of machines");
  AddList(program, group, "API keys, without their secrets",
          {{"NAME", "name", 80},
           {"DISPLAY NAME", "display_name"},
           RolesColumn<directory::v1::ApiKey>(),
           {"EXPIRES", "expire_time"},
           {"DISABLED", "disabled"}},
          &Stub::ListApiKeys);
  AddKeyCreate(program, group);
  AddKeyRelaySites(program, group);
  AddKeyRotate(program, group);
  AddNamed(program, group, "delete", "Remove a key", "apiKeys", {}, &Stub::DeleteApiKey);
  // A secret that nobody sees is of no use, so keys are not imported.
}

struct AssetOptions {
  std::string tenant;
  std::string id;
  std::string host_name;
  std::string site;
  std::vector<std::string> addresses;
  std::vector<std::string> products;
  std::string exposure;
};

absl::StatusOr<directory::v1::CreateAssetRequest> MakeAssetRequest(const AssetOptions& options) {
  directory::v1::CreateAssetRequest request;
  request.set_parent(TenantParent(options.tenant));
  request.set_asset_id(options.id);
  auto& asset = *request.mutable_asset();
  asset.set_host_name(options.host_name);
  for (const auto& text : options.addresses) {
    auto& address = *asset.add_addresses();
    address.set_site(options.site);
    address.set_address(text);
  }
  for (const auto& product : options.products) asset.add_products(product);
  if (!options.exposure.empty()) {
    directory::v1::Exposure exposure{};
    if (!directory::v1::Exposure_Parse("EXPOSURE_" + ToUpper(options.exposure), &exposure)) {
      return InvalidField("exposure", "is not one of internal, partner, internet");
    }
    asset.set_exposure(exposure);
  }
  SetRequestId(request);
  return request;
}

void AddAssetCreate(Program& program, CLI::App& group) {
  auto options = std::make_shared<AssetOptions>();
  CLI::App& create = *group.add_subcommand("create", "Add an asset");
  create.add_option("id", options->id, "Asset id")->required();
  create.add_option("--tenant", options->tenant, "Tenant id")->required();
  create.add_option("--host-name", options->host_name, "Host name");
  create.add_option("--site", options->site, "Site id of its addresses");
  create.add_option("--address", options->addresses, "IP address; may come again");
  create.add_option("--product", options->products, "Product, CPE-like; may come again");
  create.add_option("--exposure", options->exposure, "internal, partner or internet");
  program.DoConnected(create, [&program, options](Client& client) -> absl::Status {
    YAGURA_ASSIGN_OR_RETURN(const auto request, MakeAssetRequest(*options));
    YAGURA_ASSIGN_OR_RETURN(const auto created, client.Call(&Stub::CreateAsset, request));
    program.Print(created);
    return absl::OkStatus();
  });
}

// In words: IMPORT_CREATE is "create".
std::string ActionOfRow(const google::protobuf::Message& message) {
  const auto& row = dynamic_cast<const directory::v1::ImportedRow&>(message);
  const std::string name = directory::v1::ImportAction_Name(row.action());
  return ToLower(name.substr(name.find('_') + 1));
}

absl::Status PrintImport(const Program& program,
                         const directory::v1::ImportAssetsResponse& response, bool dry_run) {
  Renderer renderer(program.format(), {{"LINE", "line"},
                                       {"ACTION", "action", 60, ActionOfRow},
                                       {"ASSET", "asset", 80},
                                       {"CHANGES", "changed_fields"},
                                       {"ERROR", "error", 120}});
  for (const auto& row : response.rows()) renderer.Add(row);
  Write(renderer.Finish());
  if (program.format() == Format::kTable) {
    Write(fmt::format("{} created, {} updated, {} unchanged, {} failed{}\n", response.created(),
                      response.updated(), response.unchanged(), response.failed(),
                      dry_run ? " (dry run: nothing was done)" : ""));
  }
  return response.failed() == 0
             ? absl::OkStatus()
             : MakeError(absl::StatusCode::kAborted, "IMPORT_INCOMPLETE", "some rows were refused");
}

void AddAssetImport(Program& program, CLI::App& group) {
  struct Options {
    std::string tenant;
    std::string file;
    bool dry_run = false;
  };
  auto options = std::make_shared<Options>();
  CLI::App& import = *group.add_subcommand(
      "import",
      "Create and update assets from CSV: asset_id, host_name, site, addresses, products, ...");
  import.add_option("file", options->file, "CSV file; - is standard input")->required();
  import.add_option("--tenant", options->tenant, "Tenant id")->required();
  import.add_flag("--dry-run", options->dry_run, "Tell what would be done and do nothing");
  program.DoConnected(import, [&program, options](Client& client) -> absl::Status {
    directory::v1::ImportAssetsRequest request;
    request.set_parent(TenantParent(options->tenant));
    request.set_dry_run(options->dry_run);
    YAGURA_ASSIGN_OR_RETURN(*request.mutable_csv(), ReadText(options->file, 8 << 20));
    SetRequestId(request);
    YAGURA_ASSIGN_OR_RETURN(const auto response, client.Call(&Stub::ImportAssets, request));
    return PrintImport(program, response, options->dry_run);
  });
}

void AddAssetCommands(Program& program) {
  CLI::App& group = program.Group("asset", "What customers own and where it can be reached from");
  AddList(program, group, "Assets",
          {{"NAME", "name", 80},
           {"HOST", "host_name"},
           {"ADDRESSES", "addresses.address"},
           {"PRODUCTS", "products"},
           {"EXPOSURE", "exposure"},
           {"CRITICALITY", "criticality"}},
          &Stub::ListAssets);
  AddAssetCreate(program, group);
  AddAssetImport(program, group);
}

// What a source is made of and changed by, option and field.
struct SourceOption {
  const char* option;
  const char* path;
  const char* help;
};
constexpr std::array<SourceOption, 12> kSourceOptions{{
    {"--display-name", "display_name", "Name for people"},
    {"--listener", "match.listener",
     "syslog_udp, syslog_tcp, syslog_tls, push, http, https, otlp, relay or a group of files"},
    {"--cidr", "match.cidr", "Network or address that the lines come from"},
    {"--credential", "match.credential", "Principal that pushes the lines"},
    {"--certificate", "match.certificate",
     "Client certificate over syslog_tls or https: sha256:HEX, dns:NAME, ip:, uri:, email:, cn:"},
    {"--serial", "match.device_serial", "Serial number in the lines (FortiGate devid)"},
    {"--virtual-context", "match.virtual_context", "VDOM or vsys in the lines"},
    {"--site", "site", "Site id"},
    {"--device", "device", "Device id"},
    {"--time-zone", "time_zone", "IANA time zone of times without an offset"},
    {"--parser", "parser", "auto, or a name of yagura parse --list"},
    {"--charset", "charset",
     "Character set of the lines: utf-8, shift_jis (code page 932), euc-jp, iso-8859-1"},
}};

struct SourceChange {
  // Whether it was given, and what: an empty text takes away.
  template <typename Value>
  struct Given {
    CLI::Option* option = nullptr;
    Value value{};
    explicit operator bool() const { return option->count() > 0; }
  };
  std::array<Given<std::string>, kSourceOptions.size()> texts;
  Given<std::string> silence_limit;
  Given<bool> disabled;
};

void AddSourceOptions(CLI::App& command, SourceChange& change) {
  for (size_t i = 0; i < kSourceOptions.size(); ++i) {
    auto& text = change.texts[i];
    text.option = command.add_option(kSourceOptions[i].option, text.value, kSourceOptions[i].help);
  }
  change.silence_limit.option = command.add_option(
      "--silence-limit", change.silence_limit.value,
      "Report it when it is silent for longer, such as 15m or 24h; \"\": for longer than usual");
  change.disabled.option = command.add_option("--disabled", change.disabled.value,
                                              "true: no lines are its; false: those that fit are");
}

// Sets what was given, and names it in `mask`.
absl::Status FillSource(const SourceChange& change, directory::v1::Source& source,
                        google::protobuf::FieldMask& mask) {
  for (size_t i = 0; i < kSourceOptions.size(); ++i) {
    if (!change.texts[i]) continue;
    std::string_view path = kSourceOptions[i].path;
    mask.add_paths(std::string(path));
    constexpr std::string_view kMatch = "match.";
    if (path.starts_with(kMatch)) {
      SetField(*source.mutable_match(), path.substr(kMatch.size()), change.texts[i].value);
    } else {
      SetField(source, path, change.texts[i].value);
    }
  }
  if (change.silence_limit) {
    mask.add_paths("silence_limit");
    if (!change.silence_limit.value.empty()) {
      YAGURA_ASSIGN_OR_RETURN(const auto limit, ParseSpan(change.silence_limit.value));
      source.mutable_silence_limit()->set_seconds(limit.count());
    }
  }
  if (change.disabled) {
    mask.add_paths("disabled");
    source.set_disabled(change.disabled.value);
  }
  return absl::OkStatus();
}

using ParserNames = std::function<std::vector<std::string>()>;

// Listeners of ingestion whose name is fixed.
constexpr std::array<std::string_view, 8> kListeners{
    "syslog_udp", "syslog_tcp", "syslog_tls", "push", "http", "https", "otlp", "relay"};

// Says which names fit nothing that is known here. They are not refused: groups of files, and the
// parsers of a suite with a content/ of its own, have other names.
void WarnOfUnknownNames(const directory::v1::Source& source, const ParserNames& parsers) {
  const std::string& listener = source.match().listener();
  if (!listener.empty() && std::ranges::find(kListeners, listener) == kListeners.end()) {
    std::cerr << fmt::format(
        "warning: no listener is named \"{}\", so that the source has lines only where ingestion "
        "follows a group of files of that name; listeners are {}\n",
        EscapeForTerminal(listener), Join(kListeners, ", "));
  }
  if (source.parser().empty()) return;
  const auto known = parsers();
  if (known.empty() || std::ranges::find(known, source.parser()) != known.end()) return;
  std::cerr << fmt::format("warning: there is no parser \"{}\" here; those are {}\n",
                           EscapeForTerminal(source.parser()), Join(known, ", "));
}

void AddSourceCreate(Program& program, CLI::App& group, const ParserNames& parsers) {
  struct Options {
    std::string tenant;
    std::string id;
    SourceChange change;
  };
  auto options = std::make_shared<Options>();
  CLI::App& create =
      *group.add_subcommand("create", "Assign a sender to a tenant; all given criteria must hold");
  create.add_option("id", options->id, "Source id")->required();
  create.add_option("--tenant", options->tenant, "Tenant id")->required();
  AddSourceOptions(create, options->change);
  program.DoConnected(create, [&program, options, parsers](Client& client) -> absl::Status {
    directory::v1::CreateSourceRequest request;
    request.set_parent(TenantParent(options->tenant));
    request.set_source_id(options->id);
    google::protobuf::FieldMask unused;
    YAGURA_RETURN_IF_ERROR(FillSource(options->change, *request.mutable_source(), unused));
    SetRequestId(request);
    YAGURA_ASSIGN_OR_RETURN(const auto created, client.Call(&Stub::CreateSource, request));
    WarnOfUnknownNames(request.source(), parsers);
    program.Print(created);
    return absl::OkStatus();
  });
}

void AddSourceUpdate(Program& program, CLI::App& group, const ParserNames& parsers) {
  struct Options {
    std::string name;
    std::string tenant;
    SourceChange change;
  };
  auto options = std::make_shared<Options>();
  CLI::App& update =
      *group.add_subcommand("update", "Change what is given of a source, and leave the rest");
  update.add_option("name", options->name, "tenants/TENANT/sources/SOURCE, or an id with --tenant")
      ->required();
  update.add_option("--tenant", options->tenant, "Tenant id");
  AddSourceOptions(update, options->change);
  program.DoConnected(update, [&program, options, parsers](Client& client) -> absl::Status {
    if (options->tenant.empty() && options->name.find('/') == std::string::npos) {
      return InvalidField("name", "is an id, which needs --tenant");
    }
    directory::v1::UpdateSourceRequest request;
    auto& source = *request.mutable_source();
    source.set_name(ResourceName(options->tenant, "sources", options->name));
    YAGURA_RETURN_IF_ERROR(FillSource(options->change, source, *request.mutable_update_mask()));
    if (request.update_mask().paths().empty()) {
      return InvalidField("update", "nothing is given that is to change");
    }
    SetRequestId(request);
    YAGURA_ASSIGN_OR_RETURN(const auto changed, client.Call(&Stub::UpdateSource, request));
    WarnOfUnknownNames(source, parsers);
    program.Print(changed);
    return absl::OkStatus();
  });
}

void AddSourceUnknown(Program& program, CLI::App& group) {
  CLI::App& unknown =
      *group.add_subcommand("unknown", "Senders whose lines wait in the quarantine tenant");
  auto list = std::make_shared<ListOptions>();
  unknown.add_option("--filter", list->filter,
                     "AIP-160 filter, e.g. 'product : fortinet AND line_count > 100'");
  unknown.add_option("--limit", list->limit, "Most to print, 0 for all")
      ->capture_default_str()
      ->check(CLI::Range(0, 1'000'000'000));
  program.DoConnected(unknown, [&program, list](Client& client) {
    list->parent = "tenants/quarantine";
    return PrintList(client, *list, program.format(),
                     {{"LISTENER", "listener"},
                      {"ADDRESS", "address"},
                      {"HOST", "host"},
                      {"PRODUCT", "product"},
                      {"SERIAL", "device_serial"},
                      {"CONTEXT", "virtual_context"},
                      {"LINES", "line_count"},
                      {"LAST", "last_time"},
                      {"SAMPLE", "samples", 60}},
                     &ingestion::v1::IngestionService::Stub::ListQuarantinedSources);
  });
}

void AddSourceCommands(Program& program, const ParserNames& parsers) {
  CLI::App& group = program.Group("source", "Whose the log lines of a sender are");
  AddList(program, group, "Sources",
          {{"NAME", "name", 80},
           {"LISTENER", "match.listener"},
           {"CIDR", "match.cidr"},
           {"CREDENTIAL", "match.credential"},
           {"CERTIFICATE", "match.certificate"},
           {"SERIAL", "match.device_serial"},
           {"CONTEXT", "match.virtual_context"},
           {"SITE", "site"},
           {"DEVICE", "device"}},
          &Stub::ListSources);
  AddSourceCreate(program, group, parsers);
  AddSourceUpdate(program, group, parsers);
  AddNamed(program, group, "delete", "Assign a sender to nobody again", "sources", {},
           &Stub::DeleteSource);
  AddSourceUnknown(program, group);
}

void AddWhoAmI(Program& program) {
  CLI::App& command = *program.app().add_subcommand("whoami", "Who you are to the suite");
  program.DoConnected(command, [&program](Client& client) -> absl::Status {
    YAGURA_ASSIGN_OR_RETURN(const auto response,
                            client.Call(&Stub::WhoAmI, directory::v1::WhoAmIRequest()));
    program.Print(response);
    return absl::OkStatus();
  });
}

}  // namespace

void AddDirectoryCommands(Program& program, std::function<std::vector<std::string>()> parsers) {
  AddTenantCommands(program);
  AddSiteCommands(program);
  AddUserCommands(program);
  AddKeyCommands(program);
  AddAssetCommands(program);
  AddSourceCommands(program, parsers);
  AddWhoAmI(program);
}

}  // namespace yagura::cli
