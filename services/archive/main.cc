#include "common/rpc/run_service.h"
#include "services/archive/app.h"

int main(int argc, char** argv) {
  return yagura::rpc::RunService(argc, argv, "archive", yagura::archive::ReadSettings,
                                 yagura::archive::NewApp);
}
