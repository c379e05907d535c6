#include "cli/commands/command.h"

#include <sodium.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iostream>
#include <system_error>

#include "fmt/format.h"
#include "google/protobuf/descriptor.h"

#include "common/json/message_json.h"
#include "common/text/text.h"

namespace yagura::cli {
namespace {

using google::protobuf::FieldDescriptor;
using google::protobuf::Message;

constexpr int kPageSize = 500;

// The field with the items of a list response: its first repeated message field.
const FieldDescriptor* ItemsField(const Message& response) {
  const auto* type = response.GetDescriptor();
  for (int i = 0; i < type->field_count(); ++i) {
    if (type->field(i)->is_repeated() && type->field(i)->message_type() != nullptr) {
      return type->field(i);
    }
  }
  return nullptr;
}

std::string OptionName(std::string field) {
  std::ranges::replace(field, '_', '-');
  return "--" + field;
}

}  // namespace

void AddGlobalOptions(CLI::App& app, Globals& globals) {
  auto& connection = globals.connection;
  app.add_option("--endpoint", connection.endpoint,
                 "gRPC address of the suite; else YAGURA_ENDPOINT, else from --data-dir");
  // A function, since CLI11 takes an empty text for an optional that is not given.
  app.add_option_function<std::string>(
      "--api-key-file", [&globals](const std::string& file) { globals.api_key_file = file; },
      "File with the API key; else YAGURA_API_KEY, else the admin key of --data-dir");
  app.add_option("--data-dir", connection.data_dir,
                 "Data folder of a `yagura up` on this machine; else YAGURA_DATA_DIR");
  app.add_option("--ca-file", connection.ca_file,
                 "PEM file to verify the server with; turns on TLS");
  app.add_option_function<int>(
         "--timeout",
         [&connection](int seconds) { connection.timeout = std::chrono::seconds(seconds); },
         "Seconds that a call may take; 90 where it is not given. What is asked of stored events "
         "ends at the latest with the suite's archive.query_timeout")
      ->check(CLI::Range(1, 86'400));
  app.add_option("-o,--output", globals.output, "table, json or jsonl")
      ->check(CLI::IsMember({"table", "json", "jsonl"}));
}

Format Program::format() const {
  if (globals_.output == "json") return Format::kJson;
  return globals_.output == "jsonl" ? Format::kJsonLines : Format::kTable;
}

CLI::App& Program::Group(const std::string& name, const std::string& help) {
  const auto there =
      app_.get_subcommands([&name](const CLI::App* group) { return group->get_name() == name; });
  if (!there.empty()) return *there.front();
  CLI::App& group = *app_.add_subcommand(name, help);
  group.require_subcommand(1);
  return group;
}

void Program::Do(CLI::App& command, std::function<absl::Status()> action) {
  command.callback([this, action = std::move(action)] { status_ = action(); });
}

absl::Status Program::Connected(const std::function<absl::Status(Client&)>& action) const {
  ConnectionOptions options = globals_.connection;
  if (globals_.api_key_file) {
    YAGURA_ASSIGN_OR_RETURN(const auto key, ReadInput(*globals_.api_key_file, 4096));
    options.api_key = Trim(key);
    if (options.api_key.empty()) {
      return MakeError(absl::StatusCode::kFailedPrecondition, "EMPTY_API_KEY",
                       fmt::format("{} holds no API key", *globals_.api_key_file));
    }
  }
  YAGURA_ASSIGN_OR_RETURN(auto client, Client::Connect(std::move(options)));
  return action(client);
}

void Program::DoConnected(CLI::App& command, std::function<absl::Status(Client&)> action) {
  Do(command, [this, action = std::move(action)] { return Connected(action); });
}

void Program::DoEither(CLI::App& command, std::function<bool()> connected,
                       std::function<absl::Status(Client&)> with_client,
                       std::function<absl::Status()> without_client) {
  Do(command, [=, this, connected = std::move(connected), with_client = std::move(with_client),
               without_client = std::move(without_client)] {
    return connected() ? Connected(with_client) : without_client();
  });
}

void Program::Print(const Message& message) const {
  if (format() != Format::kTable) {
    Write(MessageToJson(message) + "\n");
    return;
  }
  Write(MessageToText(message));
}

void Write(std::string_view text) {
  if (std::fwrite(text.data(), 1, text.size(), stdout) == text.size() && std::fflush(stdout) == 0) {
    return;
  }
  const int error = errno;
  if (error == EPIPE) std::_Exit(0);
  // No caller could go on, and none may take a part of an answer for all of it.
  std::cerr << fmt::format("yagura: standard output: {} [OUTPUT_FAILED]\n",
                           std::generic_category().message(error));
  std::_Exit(1);
}

std::string ResourceName(std::string_view tenant, std::string_view collection,
                         std::string_view id) {
  if (id.find('/') != std::string_view::npos) return std::string(id);
  return fmt::format("tenants/{}/{}/{}", tenant, collection, id);
}

std::string TenantParent(std::string_view tenant) {
  if (tenant.starts_with("tenants/")) return std::string(tenant);
  return fmt::format("tenants/{}", tenant.empty() ? "-" : tenant);
}

void SetField(Message& message, std::string_view field, const std::string& value) {
  const auto* descriptor = message.GetDescriptor()->FindFieldByName(std::string(field));
  if (descriptor != nullptr && descriptor->cpp_type() == FieldDescriptor::CPPTYPE_STRING) {
    message.GetReflection()->SetString(&message, descriptor, value);
  }
}

void SetField(Message& message, std::string_view field, int value) {
  const auto* descriptor = message.GetDescriptor()->FindFieldByName(std::string(field));
  if (descriptor != nullptr && descriptor->cpp_type() == FieldDescriptor::CPPTYPE_INT32) {
    message.GetReflection()->SetInt32(&message, descriptor, value);
  }
}

void SetRequestId(Message& message) {
  std::string random(16, '\0');
  randombytes_buf(random.data(), random.size());
  SetField(message, "request_id", HexEncode(random));
}

void AddListOptions(CLI::App& command, ListOptions& options) {
  command.add_option("--filter", options.filter,
                     "AIP-160 filter over the resource's fields, e.g. 'severity >= HIGH'");
  command.add_option("--order-by", options.order_by, "Field to order by, e.g. 'create_time desc'");
  command.add_option("--limit", options.limit, "Most items to print, 0 for all")
      ->capture_default_str()
      ->check(CLI::Range(0, 1'000'000'000));
}

absl::Status PrintPages(const ListOptions& options, Format format, std::vector<TableColumn> columns,
                        const PageCall& call) {
  Renderer renderer(format, std::move(columns));
  std::string token;
  size_t left = options.limit == 0 ? SIZE_MAX : static_cast<size_t>(options.limit);
  do {
    auto response = call([&](Message& request) {
      SetField(request, "parent", options.parent);
      SetField(request, "filter", options.filter);
      SetField(request, "order_by", options.order_by);
      SetField(request, "page_size", static_cast<int>(std::min<size_t>(left, kPageSize)));
      SetField(request, "page_token", token);
    });
    if (!response.ok()) {
      Write(renderer.Flush());
      return response.status();
    }
    const Message& page = **response;
    const auto* items = ItemsField(page);
    const auto& reflection = *page.GetReflection();
    const int count = items != nullptr ? reflection.FieldSize(page, items) : 0;
    for (int i = 0; i < count && left > 0; ++i, --left) {
      renderer.Add(reflection.GetRepeatedMessage(page, items, i));
    }
    Write(renderer.Flush());
    const auto* next = page.GetDescriptor()->FindFieldByName("next_page_token");
    token = next != nullptr ? reflection.GetString(page, next) : "";
  } while (!token.empty() && left > 0);
  Write(renderer.Finish());
  if (!token.empty() && format == Format::kTable) {
    std::cerr << fmt::format("({} shown, there are more: raise --limit)\n", renderer.rows());
  }
  return absl::OkStatus();
}

std::shared_ptr<NamedOptions> AddNamedOptions(CLI::App& command, std::string_view collection,
                                              const std::vector<TextOption>& texts, bool changes) {
  auto options = std::make_shared<NamedOptions>();
  options->texts.resize(texts.size());
  command
      .add_option("name", options->resource,
                  fmt::format("tenants/TENANT/{}/ID, or the ID with --tenant", collection))
      ->required();
  command.add_option("--tenant", options->tenant, "Tenant id, where NAME is an id alone");
  if (changes) {
    command.add_option("--etag", options->etag, "Refuse where the resource is no longer this one");
  }
  for (size_t i = 0; i < texts.size(); ++i) {
    auto* option = command.add_option(OptionName(texts[i].field), options->texts[i], texts[i].help);
    if (texts[i].required) option->required();
  }
  return options;
}

absl::Status FillNamed(Message& request, const NamedOptions& options, std::string_view collection,
                       const std::vector<TextOption>& texts) {
  if (options.tenant.empty() && options.resource.find('/') == std::string::npos) {
    return InvalidField("name", fmt::format("give the whole name (tenants/TENANT/{0}/ID), or the "
                                            "id with --tenant",
                                            collection));
  }
  SetField(request, "name", ResourceName(options.tenant, collection, options.resource));
  SetField(request, "etag", options.etag);
  for (size_t i = 0; i < texts.size(); ++i) SetField(request, texts[i].field, options.texts[i]);
  SetRequestId(request);
  return absl::OkStatus();
}

absl::StatusOr<std::string> ReadInput(const std::string& path, size_t max_bytes) {
  std::ifstream file;
  if (path != "-") {
    file.open(path, std::ios::binary);
    if (!file) {
      return MakeError(absl::StatusCode::kNotFound, "FILE_UNREADABLE",
                       fmt::format("cannot read {}", path));
    }
  }
  std::istream& in = path == "-" ? std::cin : file;
  std::string text;
  std::string chunk(64 * 1024, '\0');
  while (in.read(chunk.data(), static_cast<std::streamsize>(chunk.size())) || in.gcount() > 0) {
    text.append(chunk, 0, static_cast<size_t>(in.gcount()));
    if (text.size() > max_bytes) {
      return MakeError(absl::StatusCode::kInvalidArgument, "FILE_TOO_LARGE",
                       fmt::format("{} is larger than {} bytes", path, max_bytes));
    }
  }
  return text;
}

absl::StatusOr<std::string> ReadText(const std::string& path, size_t max_bytes) {
  YAGURA_ASSIGN_OR_RETURN(auto text, ReadInput(path, max_bytes));
  if (IsValidUtf8(text)) return text;
  size_t line = 1;
  for (const auto part : Split(text, '\n')) {
    if (!IsValidUtf8(part)) break;
    ++line;
  }
  return MakeError(absl::StatusCode::kInvalidArgument, "FILE_NOT_UTF8",
                   fmt::format("{} is not UTF-8 in line {}: convert it first, for example with "
                               "\"iconv -f CP932 -t UTF-8\"",
                               path, line));
}

}  // namespace yagura::cli
