#include "common/rpc/reflection.h"

#include <set>

#include "google/protobuf/descriptor.h"
#include "google/protobuf/descriptor.pb.h"

#include "grpc/reflection/v1alpha/reflection.pb.h"

namespace yagura::rpc {
namespace {

using google::protobuf::DescriptorPool;
using google::protobuf::FileDescriptor;
using grpc::reflection::v1alpha::ServerReflectionRequest;
using grpc::reflection::v1alpha::ServerReflectionResponse;

const DescriptorPool& Pool() { return *DescriptorPool::generated_pool(); }

void AddWithImports(const FileDescriptor& file, std::set<const FileDescriptor*>& seen,
                    ServerReflectionResponse& response) {
  if (!seen.insert(&file).second) return;
  google::protobuf::FileDescriptorProto proto;
  file.CopyTo(&proto);
  response.mutable_file_descriptor_response()->add_file_descriptor_proto(proto.SerializeAsString());
  for (int i = 0; i < file.dependency_count(); ++i) {
    AddWithImports(*file.dependency(i), seen, response);
  }
}

void AnswerFile(const FileDescriptor* file, ServerReflectionResponse& response) {
  if (file == nullptr) {
    response.mutable_error_response()->set_error_code(
        static_cast<int>(absl::StatusCode::kNotFound));
    response.mutable_error_response()->set_error_message("not known here");
    return;
  }
  std::set<const FileDescriptor*> seen;
  AddWithImports(*file, seen, response);
}

void AnswerExtension(const ServerReflectionRequest& request, ServerReflectionResponse& response) {
  const auto& wanted = request.file_containing_extension();
  const auto* type = Pool().FindMessageTypeByName(wanted.containing_type());
  const auto* field =
      type == nullptr ? nullptr : Pool().FindExtensionByNumber(type, wanted.extension_number());
  AnswerFile(field == nullptr ? nullptr : field->file(), response);
}

void AnswerExtensionNumbers(const std::string& name, ServerReflectionResponse& response) {
  const auto* type = Pool().FindMessageTypeByName(name);
  if (type == nullptr) {
    AnswerFile(nullptr, response);
    return;
  }
  auto& numbers = *response.mutable_all_extension_numbers_response();
  numbers.set_base_type_name(name);
  std::vector<const google::protobuf::FieldDescriptor*> extensions;
  Pool().FindAllExtensions(type, &extensions);
  for (const auto* extension : extensions) numbers.add_extension_number(extension->number());
}

class Session final : public StreamSession<ServerReflectionRequest> {
 public:
  Session(Outbox<ServerReflectionResponse> outbox,
          std::shared_ptr<const std::vector<std::string>> services)
      : outbox_(std::move(outbox)), services_(std::move(services)) {}

  absl::Status OnMessage(const ServerReflectionRequest& request) override {
    ServerReflectionResponse response;
    response.set_valid_host(request.host());
    *response.mutable_original_request() = request;
    switch (request.message_request_case()) {
      case ServerReflectionRequest::kFileByFilename:
        AnswerFile(Pool().FindFileByName(request.file_by_filename()), response);
        break;
      case ServerReflectionRequest::kFileContainingSymbol:
        AnswerFile(Pool().FindFileContainingSymbol(request.file_containing_symbol()), response);
        break;
      case ServerReflectionRequest::kFileContainingExtension:
        AnswerExtension(request, response);
        break;
      case ServerReflectionRequest::kAllExtensionNumbersOfType:
        AnswerExtensionNumbers(request.all_extension_numbers_of_type(), response);
        break;
      case ServerReflectionRequest::kListServices:
        for (const std::string& name : *services_) {
          response.mutable_list_services_response()->add_service()->set_name(name);
        }
        break;
      case ServerReflectionRequest::MESSAGE_REQUEST_NOT_SET:
        response.mutable_error_response()->set_error_code(
            static_cast<int>(absl::StatusCode::kInvalidArgument));
        response.mutable_error_response()->set_error_message("nothing is asked for");
        break;
    }
    outbox_.Push(std::move(response));
    return absl::OkStatus();
  }
  void OnClientDone() override { outbox_.Finish(absl::OkStatus()); }

 private:
  const Outbox<ServerReflectionResponse> outbox_;
  const std::shared_ptr<const std::vector<std::string>> services_;
};

}  // namespace

void RegisterReflection(ServiceRegistry& registry,
                        std::shared_ptr<const std::vector<std::string>> services) {
  registry.Stream<ServerReflectionRequest, ServerReflectionResponse>(
      "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
      [services = std::move(services)](const Call&, Outbox<ServerReflectionResponse> outbox)
          -> absl::StatusOr<std::unique_ptr<StreamSession<ServerReflectionRequest>>> {
        return std::make_unique<Session>(std::move(outbox), services);
      });
}

}  // namespace yagura::rpc
